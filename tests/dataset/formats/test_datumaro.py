from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.annotation_samples import write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import datumaro
from kfdet.dataset.formats.model import KeyBox
from kfdet.dataset.formats.registry import detect_format
from kfdet.errors import InputError


def item(**annotation: object) -> dict:
    attributes = {"occluded": True}
    given = {"id": 1, "type": "bbox", "label_id": 0, "bbox": [1, 2, 10, 20]}
    annotations = [{"attributes": attributes, "group": 0, "z_order": 0, **given, **annotation}]
    image = {"path": "x.jpg", "size": [48, 64]}
    return {"id": "a/x", "annotations": annotations, "attr": {}, "image": image}


def read(tmp_path: Path, *items: dict):
    labels = {"label": {"labels": [{"name": "cup", "parent": "", "attributes": []}]}}
    content = {"dm_format_version": "1.0", "categories": labels, "items": items}
    path = write_text(tmp_path / "annotations" / "default.json", json.dumps(content))
    assert detect_format(path) == "datumaro"
    return datumaro.read(path)


def test_box(tmp_path):
    (source,) = read(tmp_path, item()).sources

    assert source.names == ("x.jpg", "a/x")
    assert (source.width, source.height) == (64, 48)
    assert source.keys == [KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22, occluded=True)]


def test_outside_boxes_and_other_shapes(tmp_path):
    outside = item(attributes={"outside": True})
    polygon = item(type="polygon", points=[1, 1, 2, 2, 3, 3])
    result = read(tmp_path, outside, {**polygon, "id": "b"})

    assert [source.keys for source in result.sources] == [[], []]
    assert "1 annotations are left out" in result.problems[0].problem


def test_hopeless(tmp_path):
    with pytest.raises(InputError, match="Datumaro cannot read it"):
        read(tmp_path, item(bbox="x"))
