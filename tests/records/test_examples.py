from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.errors import InputError, KfdetError
from kfdet.planning.plan import Plan, Source, Split
from kfdet.records.examples import EXAMPLE_SCHEMA, choose_examples, example_table
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.statistics import SAMPLES, choose_samples, describe_dataset
from kfdet.video.shards import INDEX_SCHEMA

NEGATIVE_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("kind", pa.string()),
        *((side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")),
    ]
)


def source(name: str, train: Any = (), val: Any = ()) -> Source:
    return Source(name, "video", f"{name}.xml", 200, 100, 30, 10.0, 0, 29, 1, train, val)


def plan(*sources: Source) -> Plan:
    split = Split("video", 0.2, 3.0, 0)
    return Plan("data", ("mug", "robot"), sources, split, (tuple(s.name for s in sources),))


TWO = plan(source("a.mp4", train=((0, 9), (20, 29))), source("b.mp4", val=((0, 29),)))


def box(video: str, frame: int, corners: Any = (10, 10, 50, 60), **other: Any) -> dict[str, Any]:
    row = {"track_id": 0, "label": "mug", "occluded": False, "keyframe": True, "method": "key"}
    row |= {"difficult": False, "crowd": False}
    row |= {"video": video, "frame": frame, **other}
    return row | dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, corners), strict=True))


def boxes(*rows: dict[str, Any], the_plan: Plan = TWO) -> FrameBoxes:
    return FrameBoxes(pa.Table.from_pylist(list(rows), schema=BOX_SCHEMA), the_plan)


def index(*frames: tuple[str, int], scale: int = 1) -> pa.Table:
    size = {"width": 200 // scale, "height": 100 // scale}
    rest = {"source_width": 200, "source_height": 100, "seconds": 0.0, "shard": "", "offset": 0}
    rows = [{"video": v, "frame": f, **size, **rest, "length": 9} for v, f in frames]
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA)


def negatives(*rows: tuple[Any, ...]) -> pa.Table:
    columns = [dict(zip(NEGATIVE_SCHEMA.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(columns, schema=NEGATIVE_SCHEMA)


FRAMES = [("a.mp4", f) for f in (0, 5, 9, 12, 20)] + [("b.mp4", f) for f in (0, 3, 8)]
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


def test_chooses_by_range_box_and_coverage() -> None:
    mined = negatives(
        ("a.mp4", 9, "frame", 0, 0, 200, 100), ("a.mp4", 20, "crop", 100, 20, 180, 60)
    )
    chosen = choose_examples(TWO, boxes(*BOXES), index(*FRAMES), mined, {"b.mp4": ((2, 9),)})
    assert [(e.source_id, e.split, e.video, e.frame, e.kind) for e in chosen] == [
        (1, "train", "a.mp4", 0, "frame"),
        (2, "train", "a.mp4", 20, "frame"),  # 5: no box; 12: between the training ranges
        (3, "train", "a.mp4", 9, "background"),
        (4, "train", "a.mp4", 20, "crop"),
        (5, "val", "b.mp4", 3, "frame"),
        (6, "val", "b.mp4", 8, "background"),  # 0: nobody looked at it
    ]


def test_a_long_background_video_gives_as_many_validation_frames_as_have_boxes() -> None:
    empty = replace(source("c.mp4", val=((0, 29),)), background=True)
    frames = [*FRAMES, *(("c.mp4", f) for f in range(30))]
    rows = [*BOXES, box("b.mp4", 8)]
    covered = {"b.mp4": ((0, 29),), "c.mp4": ((0, 29),)}
    chosen = choose_examples(
        plan(*TWO.sources, empty), boxes(*rows), index(*frames), negatives(), covered
    )
    val = [(e.video, e.frame, e.kind) for e in chosen if e.split == "val"]
    assert val == [
        ("b.mp4", 0, "background"),
        ("b.mp4", 3, "frame"),
        ("b.mp4", 8, "frame"),
        ("c.mp4", 7, "background"),
        ("c.mp4", 22, "background"),
    ]


def test_sizes_and_windows_of_shrunken_frames() -> None:
    mined = negatives(("a.mp4", 20, "crop", 101, 20, 180, 61))
    chosen = choose_examples(TWO, boxes(*BOXES), index(*FRAMES, scale=4), mined, {})
    crop = next(e for e in chosen if e.kind == "crop")
    assert (crop.crop, crop.size) == ((25, 5, 45, 15), (20, 10))
    assert crop.window == (100, 20, 180, 60), "in source pixels, as cut"
    table = example_table(chosen)
    assert table.schema == EXAMPLE_SCHEMA
    assert table.slice(0, 1).to_pylist()[0] | {"source_id": 0} == {
        "source_id": 0,
        "split": "train",
        "video": "a.mp4",
        "frame": 0,
        "kind": "frame",
        "measured": False,
        "width": 50,
        "height": 25,
        "xmin": 0,
        "ymin": 0,
        "xmax": 200,
        "ymax": 100,
    }
    assert example_table([]).schema == EXAMPLE_SCHEMA


@pytest.mark.parametrize(
    ("rows", "frames", "mined", "error", "message"),
    [
        ([], FRAMES, (), InputError, "no training picture with a box.*val_share"),
        (BOXES[3:], FRAMES, (), InputError, "no training picture"),
        (BOXES[:3], FRAMES, (), InputError, "no validation picture.*val_share"),
        (BOXES, [], (), InputError, "a.mp4: none of its 2 labelled key frames was extracted"),
        (BOXES, FRAMES[:5], (), InputError, "b.mp4: none of its 1"),
        (BOXES, FRAMES, ("a.mp4", 6, "frame", 0, 0, 200, 100), InputError, "not extracted"),
        (BOXES, FRAMES, ("b.mp4", 8, "frame", 0, 0, 200, 100), KfdetError, "outside the training"),
        (BOXES, FRAMES, ("a.mp4", 0, "frame", 0, 0, 200, 100), KfdetError, "shows a labelled box"),
        (BOXES, FRAMES, ("a.mp4", 0, "crop", 49, 0, 90, 100), KfdetError, "shows a labelled box"),
    ],
)
def test_refuses(rows: Any, frames: Any, mined: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        choose_examples(
            TWO, boxes(*rows), index(*frames), negatives(*([mined] if mined else [])), {}
        )


def test_a_crop_may_touch_a_box() -> None:
    mined = negatives(("a.mp4", 0, "crop", 50, 0, 90, 100))
    chosen = choose_examples(TWO, boxes(*BOXES), index(*FRAMES), mined, {})
    assert [e.kind for e in chosen if e.frame == 0] == ["frame", "crop"]


def test_some_missing_key_frames_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = [*BOXES, box("a.mp4", 25), box("a.mp4", 26, keyframe=False, method="linear")]
    choose_examples(TWO, boxes(*rows), index(*FRAMES), negatives(), {})
    assert "a.mp4: 1 of 3 labelled key frames were not extracted" in caplog.text


# --- statistics ---


def test_description_counts_by_hand() -> None:
    rows = [
        box("a.mp4", 0, (0, 0, 20, 50)),
        box("a.mp4", 0, (100, 0, 200, 100), track_id=1, label="robot", keyframe=False),
        box("a.mp4", 20, (0, 0, 20, 50), occluded=True),
        box("a.mp4", 21),  # not extracted
        box("b.mp4", 3, (0, 0, 100, 50), track_id=-1),
    ]
    mined = negatives(("a.mp4", 5, "frame", 0, 0, 200, 100))
    found = boxes(*rows)
    chosen = choose_examples(TWO, found, index(*FRAMES), mined, {"b.mp4": ((0, 29),)})
    described = describe_dataset(TWO, found, chosen)
    assert described["labels"] == ["mug", "robot"]
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
    assert described["all_boxes"]["boxes"] == 5
    split = described["split"]
    assert (split["strategy"], split["train_frames"], split["val_frames"]) == ("video", 3, 3)
    assert (split["train_sources"], split["val_sources"]) == (["a.mp4"], ["b.mp4"])
    sizes = described["boxes"]
    assert (sizes["width"]["0"], sizes["width"]["100"]) == (0.1, 0.5)
    assert sizes["area"]["50"] == pytest.approx(np.median([0.05, 0.5, 0.05, 0.25]))
    assert sizes["aspect"]["0"] == 0.4
    assert (sizes["boxes_per_image"]["0"], sizes["boxes_per_image"]["100"]) == (0, 2)
    assert [s["train_examples"] for s in described["sources"]] == [3, 0]


def test_samples_show_labels_background_and_both_splits() -> None:
    many = plan(source("a.mp4", train=((0, 29),)), source("b.mp4", val=((0, 29),)))
    rows = [box("a.mp4", f) for f in range(25)] + [box("b.mp4", f) for f in range(25)]
    rows.append(box("a.mp4", 13, (60, 60, 90, 90), label="robot", track_id=1))
    found = boxes(*rows, the_plan=many)
    frames = index(*((v, f) for v in ("a.mp4", "b.mp4") for f in range(30)))
    mined = negatives(
        *(("a.mp4", f, "frame", 0, 0, 200, 100) for f in range(25, 30)),
        ("a.mp4", 3, "crop", 100, 0, 200, 100),
    )
    chosen = choose_examples(many, found, frames, mined, {})
    samples = choose_samples(chosen, found, many.labels)
    assert len(samples) <= SAMPLES
    assert len({e.source_id for e in samples}) == len(samples)
    assert {(e.split, e.kind) for e in samples} == {
        ("train", "frame"),
        ("train", "background"),
        ("train", "crop"),
        ("val", "frame"),
    }
    assert 13 in [e.frame for e in samples if e.kind == "frame"], "the only robot"


def test_no_samples_of_nothing() -> None:
    assert choose_samples([], boxes(), ("mug",)) == []


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
    rows = (*BOXES, box("a.mp4", 5, crowd=True), box("b.mp4", 8, crowd=True))
    chosen = choose_examples(TWO, boxes(*rows), index(*FRAMES), negatives(), {"b.mp4": ((2, 9),)})
    assert [(e.video, e.frame, e.kind) for e in chosen] == [
        ("a.mp4", 0, "frame"),
        ("a.mp4", 20, "frame"),
        ("b.mp4", 3, "frame"),
        ("b.mp4", 8, "background"),
    ]


def test_regions_are_not_counted_as_boxes() -> None:
    rows = (*BOXES, box("a.mp4", 0, track_id=1, crowd=True))
    found = boxes(*rows)
    chosen = choose_examples(TWO, found, index(*FRAMES), negatives(), {})
    description = describe_dataset(TWO, found, chosen)
    assert description["counts"]["train"]["boxes"] == 2
    assert description["all_boxes"]["boxes"] == 4
    assert description["boxes"]["boxes_per_image"]["100"] == 1


# --- a test side ---


def test_a_test_side_comes_last() -> None:
    sources = (
        source("a.mp4", train=((0, 9),)),
        source("b.mp4", val=((0, 29),)),
        replace(source("c.mp4"), test=((0, 29),)),
    )
    the_plan = plan(*sources)
    found = boxes(*(box(s.name, 3) for s in sources), the_plan=the_plan)
    frames = index(*((s.name, f) for s in sources for f in (3, 5)))
    chosen = choose_examples(the_plan, found, frames, negatives(), {"c.mp4": ((0, 29),)})
    assert [(e.source_id, e.split, e.video, e.frame, e.kind) for e in chosen] == [
        (1, "train", "a.mp4", 3, "frame"),
        (2, "val", "b.mp4", 3, "frame"),
        (3, "test", "c.mp4", 3, "frame"),
        (4, "test", "c.mp4", 5, "background"),
    ]
    description = describe_dataset(the_plan, found, chosen)
    assert description["split"]["test_sources"] == ["c.mp4"]
    assert description["counts"]["test"]["boxes"] == 1


def test_without_a_test_side_nothing_names_one() -> None:
    found = boxes(*BOXES)
    chosen = choose_examples(TWO, found, index(*FRAMES), negatives(), {})
    description = describe_dataset(TWO, found, chosen)
    assert set(description["counts"]) == {"train", "val"}
    assert "test_frames" not in description["split"]
