from __future__ import annotations

import pytest
from support.annotation_samples import cvat, write_text

from kfdet.dataset.formats.registry import FORMATS, detect_format, read_annotations
from kfdet.errors import InputError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.xml", cvat(), "cvat-video"),
        ("a.xml", cvat('<image id="1" name="a.jpg"></image>'), "cvat-images"),
        ("a.xml", '<?xml version="1.0"?><!-- <b> -->\n<annotation verified="yes">', "voc"),
        ("a.xml", "", "cvat-video"),
        ("a.xml", "<svg></svg>", None),
        ("a.json", "{}", None),
        ("a.json", "[]", None),
        ("a.json", '[{"id": 1, "data": {}, "annotations": []}]', "label-studio"),
        ("a.json", '\ufeff {"info": 1, "images": []}', "coco"),
        ("a.json", '{"info": {}, "categories": {"label": {}}, "items": []}', "datumaro"),
        ("gt.txt", "", "mot"),
        ("groundtruth_mot.txt", "1,2,3,4,5,6", None),
        ("a.csv", "", None),
        ("a.csv", "a,b,c\n1,2,3\n", None),
        ("a.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "csv"),
        ("a.csv", "TEST,gs://b/a.jpg,cup,0,0,,,1,1,,\n", "csv"),
    ],
)
def test_detect_format(tmp_path, name, text, expected):
    path = write_text(tmp_path / name, text)

    assert detect_format(path) == expected
    assert expected is None or FORMATS[expected].read is not None


def test_unknown_format(tmp_path):
    with pytest.raises(InputError, match="not in a known annotation format") as caught:
        read_annotations(write_text(tmp_path / "a.csv", ""))
    assert "CVAT for video" in caught.value.hint
