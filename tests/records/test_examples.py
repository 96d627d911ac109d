from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.errors import InputError, KfdetError
from kfdet.planning.plan import FrameRange, Source
from kfdet.records.examples import Choice, choose_examples
from kfdet.records.frame_boxes import FrameBoxes

LABELS = ("mug", "robot")


def source(name: str, train: Any = (), val: Any = ()) -> Source:
    return Source(name, "video", f"{name}.xml", 200, 100, 30, 10.0, 0, 29, 1, train, val)


TRAIN = source("a.mp4", train=((0, 9), (20, 29)))
VAL = replace(source("b.mp4", val=((0, 29),)), first_id=61)


def box(video: str, frame: int, corners: Any = (10, 10, 50, 60), **other: Any) -> dict[str, Any]:
    row = {"track_id": 0, "label": "mug", "occluded": False, "keyframe": True, "method": "key"}
    row |= {"difficult": False, "crowd": False}
    row |= {"video": video, "frame": frame, **other}
    return row | dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, corners), strict=True))


def boxes(*rows: dict[str, Any], sources: Sequence[Source] = (TRAIN, VAL)) -> FrameBoxes:
    return FrameBoxes(pa.Table.from_pylist(list(rows), schema=BOX_SCHEMA), sources, LABELS)


def negative(frame: int, *window: float) -> dict[str, Any]:
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), window or (0, 0, 200, 100), strict=True))
    return {"video": "a.mp4", "frame": frame, "kind": "crop" if window else "frame", **sides}


def choose(
    of: Source,
    frames: Sequence[int],
    found: FrameBoxes,
    negatives: Sequence[dict[str, Any]] = (),
    covered: Sequence[FrameRange] = (),
) -> list[Choice]:
    return choose_examples(of, np.array(frames, np.int64), found, negatives, covered)


BOXES = [box("a.mp4", 0), box("a.mp4", 12), box("a.mp4", 20), box("b.mp4", 3)]


# --- boxes by frame ---


def test_no_boxes_at_all() -> None:
    none = boxes()
    assert none.corners.shape == (0, 4)
    assert none.of("a.mp4", 0) == slice(0, 0)


@pytest.mark.parametrize(
    ("corners", "expected", "truncated"),
    [
        ((10, 10, 50, 60), (10, 10, 50, 60), False),
        ((-10, 10, 50, 60), (0, 10, 50, 60), True),
        ((150, 90, 250, 130), (150, 90, 200, 100), True),
        ((0, 10, 50, 60), (0, 10, 50, 60), True),
        ((199.5, 10, 260, 60), None, None),  # a sliver
        ((10, 10, 50, 10.5), None, None),
        ((-90, 10, -50, 60), None, None),  # outside
        ((50, 10, 10, 60), None, None),  # upside down
    ],
)
def test_boxes_are_clipped(corners: Any, expected: Any, truncated: bool | None) -> None:
    found = boxes(box("a.mp4", 0, corners))
    rows = found.of("a.mp4", 0)
    assert found.corners[rows].tolist() == ([] if expected is None else [list(expected)])
    assert found.truncated(rows).tolist() == ([] if expected is None else [truncated])


def test_boxes_of_a_frame_are_those_of_its_rows() -> None:
    rows = [
        box("b.mp4", 3, track_id=2, label="robot", occluded=True),
        box("a.mp4", 7, (1, 2, 3, 4)),
        box("b.mp4", 3, (5, 6, 7, 8), track_id=1),
    ]
    found = boxes(*rows)
    of = found.of("b.mp4", 3)
    assert found.labels[of] == ["mug", "robot"]
    assert found.class_ids[of].tolist() == [1, 2]
    assert found.occluded[of].tolist() == [False, True]
    assert found.corners[of][0].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (box("c.mp4", 0), "videos that the plan does not have: c.mp4"),
        (box("a.mp4", 0, label="cat"), "labels that the plan does not have: cat"),
        (box("a.mp4", 4, (1, 2, float("nan"), 9)), "a.mp4, frame 4: .*not a number"),
        (box("a.mp4", 4, (1, 2, float("inf"), 9)), "not a number"),
    ],
)
def test_boxes_that_do_not_fit_the_plan(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        boxes(row)


# --- choice ---


def test_training_takes_frames_with_boxes_and_the_mined_background() -> None:
    mined = [negative(9), negative(20, 100, 20, 180, 60)]
    chosen = choose(TRAIN, [0, 5, 9, 12, 20], boxes(*BOXES), mined, ((0, 29),))
    assert [(e.source_id, e.split, e.frame, e.kind) for e in chosen] == [
        (1, "train", 0, "frame"),
        (19, "train", 9, "background"),
        (41, "train", 20, "frame"),  # 5: no box; 12: between the training ranges
        (42, "train", 20, "crop"),
    ]
    assert [e.window for e in chosen] == [None, None, None, (100, 20, 180, 60)]
    assert not any(e.measured for e in chosen)


def test_validation_takes_frames_with_boxes_and_those_that_a_person_covered() -> None:
    chosen = choose(VAL, [0, 3, 8], boxes(*BOXES), covered=((2, 9),))
    assert [(e.source_id, e.split, e.frame, e.kind, e.measured) for e in chosen] == [
        (67, "val", 3, "frame", True),
        (77, "val", 8, "background", True),  # 0: nobody looked at it
    ]


def test_boxes_that_nobody_drew_are_looked_at_but_not_measured() -> None:
    drawn = box("b.mp4", 3)
    between = box("b.mp4", 4, keyframe=False, method="linear")
    chosen = choose(VAL, [3, 4], boxes(drawn, between))
    assert [(e.frame, e.measured) for e in chosen] == [(3, True), (4, False)]


@pytest.mark.parametrize(
    ("share", "frames"),
    [(1.0, list(range(30))), (2 / 30, [7, 22]), (0.01, [15]), (0.0, [])],
)
def test_a_background_video_gives_its_share_of_validation_frames_evenly(
    share: float, frames: list[int]
) -> None:
    empty = replace(source("c.mp4", val=((0, 29),)), background=True, background_share=share)
    chosen = choose(empty, range(30), boxes(sources=[empty]), covered=((0, 29),))
    assert [e.frame for e in chosen] == frames
    assert {e.kind for e in chosen} <= {"background"}


def test_numbers_follow_the_frames_of_the_task_from_the_first_of_the_source() -> None:
    late = replace(source("a.mp4", train=((100, 129),)), start=100, stop=129, first_id=1001)
    rows = [box("a.mp4", frame) for frame in (100, 110, 129)]
    chosen = choose(late, [100, 110, 129], boxes(*rows, sources=[late]))
    assert [e.source_id for e in chosen] == [1001, 1021, 1059], "room for a crop of each"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((200, 100), (101, 20, 180, 61)),
        ((50, 25), (25, 5, 45, 15)),
        ((400, 200), (202, 40, 360, 122)),
    ],
)
def test_a_window_is_cut_from_the_stored_picture(
    stored: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    whole = Choice(1, "train", 20, "frame")
    crop = Choice(2, "train", 20, "crop", (101, 20, 180, 61))
    assert whole.crop(stored, (200, 100)) is None
    assert crop.crop(stored, (200, 100)) == expected


def test_a_window_ends_at_the_edge_of_the_picture() -> None:
    crop = Choice(2, "train", 20, "crop", (120, 60, 200, 100))
    assert crop.crop((51, 25), (200, 100)) == (31, 15, 51, 25)


@pytest.mark.parametrize(
    ("mined", "message"),
    [
        (negative(12), "a.mp4, frame 12: background from outside the training ranges"),
        (negative(0), "a.mp4, frame 0: a background picture shows a labelled box"),
        (negative(0, 49, 0, 90, 100), "shows a labelled box"),
    ],
)
def test_refuses_background_that_is_none(mined: dict[str, Any], message: str) -> None:
    with pytest.raises(KfdetError, match=message):
        choose(TRAIN, [0, 12, 20], boxes(*BOXES), [mined])


def test_a_crop_may_touch_a_box() -> None:
    chosen = choose(TRAIN, [0, 20], boxes(*BOXES), [negative(0, 50, 0, 90, 100)])
    assert [e.kind for e in chosen if e.frame == 0] == ["frame", "crop"]


def test_a_source_without_boxes_or_background_gives_nothing() -> None:
    assert choose(TRAIN, range(30), boxes(), covered=((0, 29),)) == []


# --- regions that nobody judges ---


def test_a_region_is_no_object() -> None:
    found = boxes(
        box("a.mp4", 0), box("a.mp4", 0, track_id=1, crowd=True), box("a.mp4", 9, crowd=True)
    )
    assert found.crowd[found.of("a.mp4", 0)].tolist() == [False, True]
    assert found.objects("a.mp4", 0).tolist() == [0]
    assert [found.has("a.mp4", frame) for frame in (0, 9, 10)] == [True, False, False]


def test_a_region_without_a_label_counts_for_every_label() -> None:
    found = boxes(box("a.mp4", 0, label="", crowd=True), box("a.mp4", 0, label="robot"))
    rows = found.of("a.mp4", 0)
    assert sorted(zip(found.labels[rows], found.crowd[rows].tolist(), strict=True)) == [
        ("mug", True),
        ("robot", False),
        ("robot", True),
    ]


def test_a_frame_with_only_a_region_does_not_train_and_is_background_in_validation() -> None:
    found = boxes(*BOXES, box("a.mp4", 5, crowd=True), box("b.mp4", 8, crowd=True))
    assert [e.frame for e in choose(TRAIN, [0, 5, 20], found)] == [0, 20]
    chosen = choose(VAL, [0, 3, 8], found, covered=((2, 9),))
    assert [(e.frame, e.kind) for e in chosen] == [(3, "frame"), (8, "background")]


def test_background_keeps_away_from_regions() -> None:
    found = boxes(box("a.mp4", 5, crowd=True))
    with pytest.raises(KfdetError, match="shows a labelled box"):
        choose(TRAIN, [5], found, [negative(5)])


# --- a test side ---


def test_a_source_may_be_on_several_sides() -> None:
    three = replace(source("a.mp4", train=((0, 9),), val=((15, 19),)), test=((25, 29),))
    found = boxes(*(box("a.mp4", frame) for frame in (3, 12, 17, 27)), sources=[three])
    chosen = choose(three, [3, 5, 12, 17, 27, 28], found, covered=((0, 29),))
    assert [(e.source_id, e.split, e.frame, e.kind, e.measured) for e in chosen] == [
        (7, "train", 3, "frame", False),
        (35, "val", 17, "frame", True),
        (55, "test", 27, "frame", True),
        (57, "test", 28, "background", True),
    ]
