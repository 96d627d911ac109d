from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.annotation_samples import plain, write_text

from kfdet.dataset.formats import label_studio
from kfdet.errors import InputError


def region(*sequence: tuple[int, bool], **more: object) -> dict:
    place = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    rows = [{"frame": frame, "enabled": enabled, **place} for frame, enabled in sequence]
    value = {"framesCount": 20, "labels": ["cup"], "sequence": rows}
    return {"id": "r1", "type": "videorectangle", "value": value, **more}


def read(tmp_path: Path, *regions: dict, video="clip.mp4", **more: object):
    task = {"id": 1, "data": {"video": video}, "annotations": [{"result": regions}], **more}
    return label_studio.read(write_text(tmp_path / "a.json", json.dumps([task])))


def test_no_tasks(tmp_path):
    assert label_studio.read(write_text(tmp_path / "a.json", "[]")).sources == []


def test_no_regions(tmp_path):
    (source,) = read(tmp_path).sources
    assert (source.kind, source.keys, source.names) == ("video", [], ("clip.mp4",))


@pytest.mark.parametrize(
    ("video", "names"),
    [
        ("/data/upload/3/0a1b2c3d-my%20clip.mp4", ("0a1b2c3d-my clip.mp4", "my clip.mp4")),
        ("/data/local-files/?d=videos/clip.mp4", ("clip.mp4",)),
        ("s3://bucket/a/clip.mp4", ("clip.mp4",)),
    ],
)
def test_names(tmp_path, video, names):
    assert read(tmp_path, video=video).sources[0].names == names


@pytest.mark.parametrize(
    ("sequence", "keys"),
    [
        ([(1, True)], [(0, False)]),
        ([(1, True), (6, True)], [(0, False), (5, False)]),
        # Visible up to and on the disabled frame, gone after it.
        ([(1, True), (6, False)], [(0, False), (5, False), (6, True)]),
        ([(1, True), (6, False), (7, True)], [(0, False), (5, False), (6, False)]),
        ([(1, True), (6, False), (9, True)], [(0, False), (5, False), (6, True), (8, False)]),
        # A disabled frame that follows a disabled one shows nothing.
        ([(3, False), (6, False), (9, True)], [(2, True), (5, True), (8, False)]),
        ([(6, True), (1, True)], [(0, False), (5, False)]),
    ],
)
def test_sequence(tmp_path, sequence, keys):
    (source,) = read(tmp_path, region(*sequence)).sources

    assert [(key.frame, key.outside) for key in source.keys] == keys
    assert source.stop == 19
    assert plain(source.keys)[0][2:] == (0.1, 0.2, 0.4, pytest.approx(0.6))


def test_rotation_is_about_the_corner(tmp_path):
    turned = region((1, True))
    turned["value"]["sequence"][0]["rotation"] = 90
    (source,) = read(tmp_path, turned).sources
    source.to_pixels(100, 100)

    # 30 wide and 40 high at (10, 20), turned clockwise: it covers x -30..10, y 20..50.
    assert source.keys[0].rotation == 90
    assert source.keys[0][3:7] == pytest.approx((-25, 15, 5, 55))


def test_last_annotation_that_was_not_cancelled_counts(tmp_path):
    entries = [
        {"result": [region((1, True))]},
        {"result": [region((2, True))]},
        {"result": [region((3, True))], "was_cancelled": True},
    ]
    (source,) = read(tmp_path, annotations=entries).sources
    assert [key.frame for key in source.keys] == [1]


@pytest.mark.parametrize(
    ("bad", "severity", "text"),
    [
        (region((1, True), (1, True)), "error", "frame 1 twice"),
        ({**region(), "value": {"labels": [], "sequence": []}}, "error", "has 0 labels"),
        ({**region(), "value": {"labels": ["a"]}}, "error", "has no 'sequence'"),
        ({**region(), "type": "timelinelabels"}, "warning", "is a timelinelabels"),
    ],
)
def test_bad_regions(tmp_path, bad, severity, text):
    result = read(tmp_path, region((1, True)), bad)

    (problem,) = result.problems
    assert problem.severity == severity
    assert text in problem.problem
    assert len(result.sources[0].keys) == 1


@pytest.mark.parametrize("text", ["{}", "[3]", '[{"video": "a.mp4", "box": []}]'])
def test_hopeless(tmp_path, text):
    with pytest.raises(InputError, match="not a Label Studio export"):
        label_studio.read(write_text(tmp_path / "a.json", text))


# --- images ---


def rectangle(**more: object) -> dict:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    value["rectanglelabels"] = ["cup"]
    return {"id": "r1", "type": "rectanglelabels", "value": value, **more}


def read_image(tmp_path: Path, *regions: dict, **more: object):
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, **more}
    task.setdefault("annotations", [{"result": regions}])
    return label_studio.read(write_text(tmp_path / "a.json", json.dumps([task])))


def test_an_image_without_objects(tmp_path):
    (source,) = read_image(tmp_path).sources
    assert (source.kind, source.keys, source.stop) == ("image", [], 0)
    assert source.names == ("0a1b2c3d-a.jpg", "a.jpg")


def test_an_image_that_nobody_labelled(tmp_path):
    assert read_image(tmp_path, annotations=[]).sources == []


def test_boxes_of_an_image(tmp_path):
    sized = {"original_width": 200, "original_height": 100}
    (source,) = read_image(tmp_path, rectangle(**sized), rectangle(**sized)).sources
    assert [key[3:7] for key in source.keys] == [pytest.approx((20, 20, 80, 60))] * 2
    assert (source.width, source.height, source.relative) == (200, 100, False)


def test_boxes_of_an_image_of_unknown_size(tmp_path):
    (source,) = read_image(tmp_path, rectangle()).sources
    assert source.relative
    assert source.keys[0][3:7] == pytest.approx((0.1, 0.2, 0.4, 0.6))


@pytest.mark.parametrize(
    ("region", "severity", "text"),
    [
        ({"type": "choices", "value": {}}, None, ""),
        ({"type": "polygonlabels", "value": {}}, "warning", "only rectanglelabels is"),
        ({"type": "rectanglelabels", "value": {}}, "error", "has 0 labels"),
        ({"type": "rectanglelabels"}, "error", "has no 'value'"),
    ],
)
def test_other_regions_of_an_image(tmp_path, region, severity, text):
    found = read_image(tmp_path, rectangle(), region)
    assert len(found.sources[0].keys) == 1
    assert [p.severity for p in found.problems] == ([severity] if severity else [])
    assert all(text in p.problem for p in found.problems)
