from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from support.annotation_samples import write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import coco
from kfdet.dataset.formats.model import KeyBox
from kfdet.errors import InputError


def coco_file(path: Path, *annotations: dict, **more: object) -> Path:
    content = {
        "images": [
            {"id": 1, "file_name": "a/x.jpg", "width": 64, "height": 48},
            {"id": 2, "file_name": "y.jpg"},
        ],
        "annotations": list(annotations),
        "categories": [{"id": 7, "name": "cup"}],
        **more,
    }
    return write_text(path, json.dumps(content))


def annotation(**more: object) -> dict:
    return {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], **more}


def test_no_annotations(tmp_path):
    first, second = coco.read(coco_file(tmp_path / "a.json")).sources

    assert (first.names, first.width, first.height) == (("a/x.jpg",), 64, 48)
    assert (second.names, second.width, second.keys) == (("y.jpg",), 0, [])


def test_boxes(tmp_path):
    more = {"occluded": True, "rotation": 5.0}
    path = coco_file(tmp_path / "a.json", annotation(), annotation(attributes=more))
    keys = coco.read(path).sources[0].keys

    assert keys == [
        KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22),
        KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22, 5.0, occluded=True),
    ]


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (annotation(bbox=[1, 2, 3]), "annotation 5 has a bbox that is not [x, y"),
        (annotation(bbox=[1, 2, None, 3]), "not four numbers"),
        (annotation(category_id=8), "has category 8"),
        (annotation(image_id=9), "is on image 9"),
        ({"id": 6, "image_id": 1, "category_id": 7}, "annotation 6 has no 'bbox'"),
        ("text", "annotation #2 has a value that is not an object"),
    ],
)
def test_bad_annotations(tmp_path, bad, text):
    result = coco.read(coco_file(tmp_path / "a.json", annotation(), bad, annotation()))

    (problem,) = result.problems
    assert text in problem.problem
    assert len(result.sources[0].keys) == 2


@pytest.mark.parametrize(
    "more", [{"iscrowd": 1}, {"isgroupof": 1}, {"attributes": {"is_crowd": True}}]
)
def test_crowds(tmp_path, more):
    result = coco.read(coco_file(tmp_path / "a.json", annotation(**more)))

    assert result.problems == []
    assert [key.crowd for key in result.sources[0].keys] == [True]


def test_not_a_number(tmp_path):
    path = coco_file(tmp_path / "a.json", annotation(bbox=[1, 2, math.nan, 4]))

    (problem,) = coco.read(path).problems
    assert "has a bbox that is not four numbers" in problem.problem


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "is not JSON", 1),
        ('{"images": [],\n "anno', "is not JSON", 2),
        ("[]", "no list of images", None),
        ('{"images": [{}], "annotations": [], "categories": []}', "lacks 'id'", None),
    ],
)
def test_hopeless(tmp_path, text, message, line):
    with pytest.raises(InputError, match=message) as caught:
        coco.read(write_text(tmp_path / "a.json", text))
    assert caught.value.line == line
