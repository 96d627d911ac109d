"""Statistics and samples of records that a group's writer wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.planning.plan import Plan, Source, Split
from kfdet.records.examples import choose_examples
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.group import GroupWriter
from kfdet.records.reading import Records
from kfdet.records.statistics import SAMPLES, BoxCounter, choose_samples, describe_dataset
from kfdet.records.tfrecord import LABEL_MAP_FILE, write_label_map
from kfdet.video.extraction import EncodedFrame

LABELS = ("mug", "robot")
SIZE = 200, 100
JPEG = simplejpeg.encode_jpeg(np.zeros((50, 100, 3), np.uint8))
Row = dict[str, Any]


def source(name: str, first_id: int, **sides: Any) -> Source:
    plain = Source(name, "video", f"{name}.xml", *SIZE, 30, 10.0, 0, 29, 1)
    return replace(plain, first_id=first_id, **sides)


def plan(*sources: Source) -> Plan:
    split = Split("video", 0.2, 3.0, 0)
    return Plan("data", LABELS, sources, split, (tuple(s.name for s in sources),))


TWO = plan(source("a.mp4", 1, train=((0, 9), (20, 29))), source("b.mp4", 61, val=((0, 29),)))


def box(video: str, frame: int, corners: Any = (10, 10, 50, 60), **other: Any) -> Row:
    row = {"track_id": 0, "label": "mug", "occluded": False, "keyframe": True, "method": "key"}
    row |= {"difficult": False, "crowd": False, "video": video, "frame": frame, **other}
    return row | dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, corners), strict=True))


def negative(frame: int, *window: float) -> Row:
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), window or (0, 0, *SIZE), strict=True))
    return {"video": "a.mp4", "frame": frame, "kind": "crop" if window else "frame", **sides}


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=BOX_SCHEMA)


def write(
    folder: Path,
    the_plan: Plan,
    rows: Sequence[Row],
    frames: Mapping[str, Sequence[int]],
    negatives: Sequence[Row] = (),
) -> Records:
    """Records of these frames of some sources, all of which a person looked at."""
    boxes = FrameBoxes(table(rows), the_plan.sources, LABELS)
    with GroupWriter(folder, folder, 0, ".") as writer:
        for each in the_plan.sources:
            own = np.array(frames[each.name], np.int64)
            mined = [row for row in negatives if row["video"] == each.name]
            for choice in choose_examples(each, own, boxes, mined, ((0, 29),)):
                picture = EncodedFrame(choice.frame, JPEG, 100, 50, *SIZE, 0.0)
                writer.add(each, choice, picture, boxes)
    write_label_map(folder / LABEL_MAP_FILE, LABELS)
    return Records(folder)


def describe(the_plan: Plan, records: Records, rows: Sequence[Row]) -> dict[str, Any]:
    counter = BoxCounter()
    for each in the_plan.sources:  # as groups come
        counter.add(table([row for row in rows if row["video"] == each.name]))
    return describe_dataset(the_plan, records, counter)


# --- the tables of a group ---


def test_rows_say_what_a_picture_shows(tmp_path: Path) -> None:
    rows = [
        box("a.mp4", 0, (-5, 10, 50, 60), occluded=True, track_id=3),
        box("a.mp4", 4, (25, 20, 90, 60), track_id=3, difficult=True),
    ]
    mined = [negative(0, 101, 20, 180, 61)]
    records = write(tmp_path, TWO, rows, {"a.mp4": [0, 4], "b.mp4": []}, mined)
    frame, crop, other = records.examples("train").to_pylist()
    assert frame.pop("crc32c") != crop.pop("crc32c")
    assert frame == {
        "source_id": 1,
        "split": "train",
        "video": "a.mp4",
        "frame": 0,
        "kind": "frame",
        "measured": False,
        "width": 100,
        "height": 50,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), (0, 0, 200, 100), strict=True)),
    }
    assert crop == frame | {
        "source_id": 2,
        "kind": "crop",
        "width": 40,
        "height": 20,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), (100, 20, 180, 60), strict=True)),
    }, "the window is that of the pixels that were cut"
    assert other["source_id"] == 9
    first, second = records.objects("train").to_pylist()
    hull = {"hull_xmin": 0, "hull_ymin": 10, "hull_xmax": 50, "hull_ymax": 60}
    assert first == {
        "source_id": 1,
        "split": "train",
        "class_id": 1,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), (0, 10, 50, 60), strict=True)),
        "occluded": True,
        "difficult": False,
        "crowd": False,
        "drawn": True,
        "track": 3,
        "key_before": 0,
        "key_after": 0,
        **hull,
    }
    assert (second["source_id"], second["difficult"], second["key_before"]) == (9, True, 4)


# --- counts ---


def test_counts_by_hand(tmp_path: Path) -> None:
    rows = [
        box("a.mp4", 0, (0, 0, 20, 50)),
        box("a.mp4", 0, (100, 0, 200, 100), track_id=1, label="robot", keyframe=False),
        box("a.mp4", 20, (0, 0, 20, 50), occluded=True),
        box("a.mp4", 21),  # not used
        box("b.mp4", 3, (0, 0, 100, 50), track_id=-1),
    ]
    frames = {"a.mp4": [0, 5, 9, 12, 20], "b.mp4": [0, 3, 8]}
    records = write(tmp_path, TWO, rows, frames, [negative(5)])
    described = describe(TWO, records, rows)
    assert (described["name"], described["labels"]) == ("data", ["mug", "robot"])
    assert described["counts"]["train"] == {
        "examples": 3,
        "frame": 2,
        "background": 1,
        "crop": 0,
        "boxes": 3,
        "key_boxes": 2,
        "interpolated_boxes": 1,
        "occluded_boxes": 1,
        "tracks": 2,
        "labels": {"mug": 2, "robot": 1},
    }
    assert described["counts"]["val"]["labels"] == {"mug": 1, "robot": 0}
    assert described["counts"]["val"]["tracks"] == 0
    assert described["all_boxes"] == {
        "boxes": 5,
        "key_boxes": 4,
        "interpolated_boxes": 1,
        "occluded_boxes": 1,
        "tracks": 2,
    }
    split = described["split"]
    assert (split["strategy"], split["train_frames"], split["val_frames"]) == ("video", 3, 3)
    assert (split["train_sources"], split["val_sources"]) == (["a.mp4"], ["b.mp4"])
    sizes = described["boxes"]
    assert (sizes["width"]["0"], sizes["width"]["100"]) == (0.1, 0.5)
    assert sizes["area"]["50"] == pytest.approx(np.median([0.05, 0.5, 0.05, 0.25]))
    assert sizes["aspect"]["0"] == 0.4
    assert (sizes["boxes_per_image"]["0"], sizes["boxes_per_image"]["100"]) == (0, 2)
    assert [s["train_examples"] for s in described["sources"]] == [3, 0]
    assert [s["val_examples"] for s in described["sources"]] == [0, 3]


def test_tracks_of_one_number_in_two_videos_are_two(tmp_path: Path) -> None:
    two = plan(
        source("a.mp4", 1, train=((0, 29),)),
        source("b.mp4", 61, train=((0, 29),)),
        source("c.mp4", 121, val=((0, 29),)),
    )
    rows = [box(name, frame) for name in ("a.mp4", "b.mp4", "c.mp4") for frame in (3, 4)]
    records = write(tmp_path, two, rows, {each.name: [3, 4] for each in two.sources})
    described = describe(two, records, rows)
    assert described["counts"]["train"]["tracks"] == 2
    assert described["all_boxes"]["tracks"] == 3


def test_regions_are_not_counted_as_boxes(tmp_path: Path) -> None:
    rows = [
        box("a.mp4", 0),
        box("a.mp4", 0, track_id=1, crowd=True),
        box("b.mp4", 3),
        box("b.mp4", 3, crowd=True, label=""),
    ]
    records = write(tmp_path, TWO, rows, {"a.mp4": [0], "b.mp4": [3]})
    described = describe(TWO, records, rows)
    assert len(records.objects("train")) == 2, "the table has them"
    assert len(records.objects("val")) == 3, "without a label, for every label"
    assert described["counts"]["train"]["boxes"] == 1
    assert described["counts"]["val"]["labels"] == {"mug": 1, "robot": 0}
    assert described["all_boxes"]["boxes"] == 2
    assert described["boxes"]["boxes_per_image"]["100"] == 1


def test_a_test_side_is_counted_and_without_one_nothing_names_it(tmp_path: Path) -> None:
    three = plan(*TWO.sources, source("c.mp4", 121, test=((0, 29),)))
    rows = [box("a.mp4", 3), box("b.mp4", 3), box("c.mp4", 3)]
    frames = {"a.mp4": [3], "b.mp4": [3], "c.mp4": [3, 5]}
    (tmp_path / "three").mkdir()
    described = describe(three, write(tmp_path / "three", three, rows, frames), rows)
    assert described["split"]["test_sources"] == ["c.mp4"]
    assert described["split"]["test_frames"] == 2
    assert described["counts"]["test"]["boxes"] == 1
    assert described["counts"]["test"]["background"] == 1
    (tmp_path / "two").mkdir()
    described = describe(TWO, write(tmp_path / "two", TWO, rows[:2], frames), rows[:2])
    assert set(described["counts"]) == {"train", "val"}
    assert "test_frames" not in described["split"]


def test_nothing_trains_where_a_model_is_only_measured(tmp_path: Path) -> None:
    measured = plan(source("b.mp4", 1, val=((0, 29),)))
    rows = [box("b.mp4", 3)]
    records = write(tmp_path, measured, rows, {"b.mp4": [3]})
    described = describe(measured, records, rows)
    nothing = described["counts"]["train"]
    assert nothing.pop("labels") == {"mug": 0, "robot": 0}
    assert set(nothing.values()) == {0}
    assert described["split"]["train_frames"] == 0
    assert described["split"]["train_sources"] == []
    assert [sample.split for sample in choose_samples(records, 2)] == ["val"]


# --- samples ---


def test_samples_show_labels_background_and_both_splits(tmp_path: Path) -> None:
    many = plan(source("a.mp4", 1, train=((0, 29),)), source("b.mp4", 61, val=((0, 29),)))
    rows = [box(name, frame) for name in ("a.mp4", "b.mp4") for frame in range(25)]
    rows.append(box("a.mp4", 13, (60, 60, 90, 90), label="robot", track_id=1))
    mined = [negative(frame) for frame in range(25, 30)] + [negative(3, 100, 0, 200, 100)]
    frames = {each.name: range(30) for each in many.sources}
    records = write(tmp_path, many, rows, frames, mined)
    samples = choose_samples(records, len(LABELS))
    assert 8 <= len(samples) <= SAMPLES
    assert len({sample.source_id for sample in samples}) == len(samples)
    assert {(sample.split, sample.kind) for sample in samples} == {
        ("train", "frame"),
        ("train", "background"),
        ("train", "crop"),
        ("val", "frame"),
    }
    (robot,) = [s for s in samples if (s.split, s.kind, s.frame) == ("train", "frame", 13)]
    assert sorted(robot.classes) == [1, 2], "the only robot"
    shares = {(0.05, 0.1, 0.25, 0.6), (0.3, 0.6, 0.45, 0.9)}
    assert {tuple(corners) for corners in robot.boxes.round(6).tolist()} == shares
    assert all(not len(sample.boxes) for sample in samples if sample.kind != "frame")
    order = [("train", "val", "test").index(sample.split) for sample in samples]
    assert order == sorted(order)


def test_a_sample_knows_what_a_person_drew_and_shows_no_region(tmp_path: Path) -> None:
    rows = [
        box("b.mp4", 3),
        box("b.mp4", 3, track_id=1, keyframe=False, label="robot"),
        box("b.mp4", 3, track_id=2, crowd=True),
    ]
    records = write(tmp_path, plan(source("b.mp4", 1, val=((0, 29),))), rows, {"b.mp4": [3]})
    (sample,) = choose_samples(records, len(LABELS))
    assert list(zip(sample.classes, sample.drawn.tolist(), strict=True)) == [(1, True), (2, False)]
