"""Selection of the pictures that become training and validation examples, and their boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.errors import InputError, KfdetError
from kfdet.events import warn
from kfdet.planning.plan import FrameRange, Plan
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.truth import Objects, measured_frames

SplitName = Literal["train", "val", "test"]
Kind = Literal["frame", "background", "crop"]
Window = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels of the source."""

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""All that a dataset may have; most have no test side."""
KINDS: tuple[Kind, ...] = ("frame", "background", "crop")

_MEASURING: tuple[tuple[SplitName, str, str], ...] = (
    ("val", "validation", "raise val_share"),
    ("test", "test", "choose a larger test side"),
)

EXAMPLE_SCHEMA = pa.schema(
    [
        ("source_id", pa.int64()),
        ("split", pa.string()),
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("kind", pa.string()),  # "frame" has boxes, "background" and "crop" have none
        ("measured", pa.bool_()),  # it is truth: evaluation measures on it
        ("width", pa.int64()),  # of the stored picture
        ("height", pa.int64()),
        ("xmin", pa.float64()),  # the window of the source that the picture shows, in its pixels
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class SelectedExample:
    """One example.

    Args:
        source_id: Unique over all splits, from 1.
        split: Side of the split.
        video: Source name.
        frame: 0-based frame of the source.
        kind: "frame" has boxes, "background" and "crop" have none.
        stored: Width and height of the extracted picture (before any crop).
        source: Width and height of the source.
        crop: Left, top, right, bottom in pixels of the extracted picture; None for all of it.
        measured: Whether evaluation measures on it (see `kfdet.records.truth`); training examples
            are not.
    """

    source_id: int
    split: SplitName
    video: str
    frame: int
    kind: Kind
    stored: tuple[int, int]
    source: tuple[int, int]
    crop: tuple[int, int, int, int] | None = None
    measured: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the example's picture."""
        if self.crop is None:
            return self.stored
        left, top, right, bottom = self.crop
        return right - left, bottom - top

    @property
    def window(self) -> Window:
        """The part of the source that the picture shows."""
        left, top, right, bottom = self.crop or (0, 0, *self.stored)
        x, y = self.source[0] / self.stored[0], self.source[1] / self.stored[1]
        return left * x, top * y, right * x, bottom * y


def choose_examples(
    plan: Plan,
    boxes: FrameBoxes,
    frames: pa.Table,
    negatives: pa.Table,
    covered: Mapping[str, Sequence[FrameRange]],
) -> list[SelectedExample]:
    """The examples of a dataset in their final order: training, validation, test, each by frame.

    Training: every extracted frame of a training range that has boxes, and the mined negatives.
    Validation: every extracted frame of a validation range that has boxes or that a person covered;
    of videos without any object no more than there are frames with boxes. Those that are truth
    (`kfdet.records.truth`) are measured on; the others are only looked at. Test: likewise. A plan
    that trains nothing has no training examples.

    Args:
        plan: Sources, labels and split.
        boxes: Boxes of all groups.
        frames: Index of the extracted frames (`kfdet.video.shards.INDEX_SCHEMA`).
        negatives: video, frame, kind, and the window as xmin, ymin, xmax, ymax in source pixels.
        covered: Frame ranges, by source, in which frames without boxes truly show background.

    Raises:
        InputError: A split would be empty, or frames are missing from the index.
        KfdetError: A negative touches a box or lies outside the training ranges.
    """
    pictures = {
        (row["video"], row["frame"]): (
            (row["width"], row["height"]),
            (row["source_width"], row["source_height"]),
        )
        for row in frames.to_pylist()
    }
    _complain_about_missing(plan, boxes, pictures)
    train = {source.name: source.train for source in plan.sources}
    frames_with_boxes = _training_frames(sorted(pictures), boxes, train)
    background = _background(negatives, pictures, boxes, train)
    if any(train.values()):
        _require(frames_with_boxes, "training", "lower val_share")
    empty = {source.name for source in plan.sources if source.background}
    measuring: list[_Choice] = []
    truth: set[tuple[str, int]] = set()
    for split, side, remedy in _MEASURING:
        ranges = {source.name: getattr(source, split) for source in plan.sources}
        if split == "test" and not any(ranges.values()):
            continue
        found = _measuring_frames(split, sorted(pictures), boxes, ranges, covered)
        _require(found, side, remedy)
        found = _thin_background(found, empty)
        truth |= measured_frames({(c.video, c.frame): _objects(c, boxes) for c in found})
        measuring += found
    return [
        _example(number, choice, *pictures[choice.video, choice.frame], truth)
        for number, choice in enumerate((*frames_with_boxes, *background, *measuring), 1)
    ]


def _objects(choice: _Choice, boxes: FrameBoxes) -> Objects:
    """The objects on a chosen frame."""
    rows = boxes.objects(choice.video, choice.frame)
    return Objects(boxes.class_ids[rows], boxes.drawn[rows])


@dataclass(frozen=True, slots=True)
class _Choice:
    """An extracted frame that becomes an example; `window` is in source pixels, None for all."""

    split: SplitName
    video: str
    frame: int
    kind: Kind
    window: Window | None = None


def _training_frames(
    frames: Sequence[tuple[str, int]],
    boxes: FrameBoxes,
    train: Mapping[str, Sequence[FrameRange]],
) -> list[_Choice]:
    """Extracted frames with boxes in the training ranges."""
    return [
        _Choice("train", video, frame, "frame")
        for video, frame in frames
        if boxes.has(video, frame) and _within(frame, train.get(video, ()))
    ]


def _background(
    negatives: pa.Table,
    pictures: Container[tuple[str, int]],
    boxes: FrameBoxes,
    train: Mapping[str, Sequence[FrameRange]],
) -> list[_Choice]:
    """The mined negatives, checked against the boxes and the training ranges."""
    order = [(name, "ascending") for name in ("video", "frame", "kind", "xmin", "ymin")]
    choices = []
    for row in negatives.sort_by(order).to_pylist():
        video, frame = row["video"], row["frame"]
        _check_negative(row, boxes, pictures, train.get(video, ()))
        if row["kind"] == "crop":
            choices.append(_Choice("train", video, frame, "crop", _window(row)))
        else:
            choices.append(_Choice("train", video, frame, "background"))
    return choices


def _measuring_frames(
    split: SplitName,
    frames: Sequence[tuple[str, int]],
    boxes: FrameBoxes,
    ranges: Mapping[str, Sequence[FrameRange]],
    covered: Mapping[str, Sequence[FrameRange]],
) -> list[_Choice]:
    """Extracted frames in the ranges of a side that have boxes or that a person covered."""
    choices: list[_Choice] = []
    for video, frame in frames:
        if not _within(frame, ranges.get(video, ())):
            continue
        if boxes.has(video, frame):
            choices.append(_Choice(split, video, frame, "frame"))
        elif _within(frame, covered.get(video, ())):
            choices.append(_Choice(split, video, frame, "background"))
    return choices


def _thin_background(choices: list[_Choice], videos: Container[str]) -> list[_Choice]:
    """Leave out frames of background videos beyond as many as there are frames with boxes.

    They are left evenly spread: a long video of an empty place shows much of the same.
    """
    empty = [i for i, choice in enumerate(choices) if choice.video in videos]
    most = sum(choice.kind == "frame" for choice in choices)
    if len(empty) <= most:
        return choices
    left = {empty[int((i + 0.5) * len(empty) / most)] for i in range(most)}
    dropped = set(empty) - left
    return [choice for i, choice in enumerate(choices) if i not in dropped]


def _require(choices: Iterable[_Choice], side: str, remedy: str) -> None:
    """Raise InputError where no choice has a box."""
    if not any(choice.kind == "frame" for choice in choices):
        raise InputError(
            f"there is no {side} picture with a box.",
            hint=f"Label more frames or videos, or {remedy}.",
        )


def _example(
    number: int,
    choice: _Choice,
    stored: tuple[int, int],
    source: tuple[int, int],
    truth: Container[tuple[str, int]],
) -> SelectedExample:
    """The example of a choice; its crop is the window in whole pixels of the stored picture."""
    crop = None
    if choice.window is not None:
        wide, high = stored
        scale = np.array([wide / source[0], high / source[1]] * 2)
        left, top, right, bottom = np.round(np.array(choice.window) * scale).astype(int).tolist()
        crop = (max(left, 0), max(top, 0), min(right, wide), min(bottom, high))
    measured = choice.split != "train" and (choice.video, choice.frame) in truth
    return SelectedExample(
        number,
        choice.split,
        choice.video,
        choice.frame,
        choice.kind,
        stored,
        source,
        crop,
        measured,
    )


def splits_of(examples: Iterable[SelectedExample]) -> list[SplitName]:
    """The splits that are used, training and validation first."""
    used = {example.split for example in examples}
    return [split for split in SPLITS if split != "test" or split in used]


def example_table(examples: Sequence[SelectedExample]) -> pa.Table:
    """EXAMPLE_SCHEMA, one row per example."""
    rows = [
        (e.source_id, e.split, e.video, e.frame, e.kind, e.measured, *e.size, *e.window)
        for e in examples
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(EXAMPLE_SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, EXAMPLE_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=EXAMPLE_SCHEMA)


def _within(frame: int, ranges: Iterable[FrameRange]) -> bool:
    return any(first <= frame <= last for first, last in ranges)


def _window(row: Mapping[str, Any]) -> Window:
    return row["xmin"], row["ymin"], row["xmax"], row["ymax"]


def _check_negative(
    row: Mapping[str, Any],
    boxes: FrameBoxes,
    pictures: Container[tuple[str, int]],
    ranges: Iterable[FrameRange],
) -> None:
    """A negative must be an extracted training picture and show no part of any box."""
    video, frame, window = row["video"], row["frame"], _window(row)
    if (video, frame) not in pictures:
        raise InputError(
            "a background picture was not extracted.",
            file=video,
            frame=frame,
            hint="Run frame extraction and negative mining on the same plan.",
        )
    if not _within(frame, ranges):
        raise KfdetError(f"{video}, frame {frame}: background from outside the training ranges.")
    corners = boxes.corners[boxes.of(video, frame)]
    meets = (corners[:, :2] < window[2:]).all(axis=1) & (corners[:, 2:] > window[:2]).all(axis=1)
    if meets.any():
        raise KfdetError(f"{video}, frame {frame}: a background picture shows a labelled box.")


def _complain_about_missing(
    plan: Plan, boxes: FrameBoxes, pictures: Container[tuple[str, int]]
) -> None:
    """Raise where a source with boxes has no picture at all; warn where key frames are missing."""
    drawn = pc.and_not(boxes.table["keyframe"], boxes.table["crowd"])
    keys = boxes.table.filter(drawn).select(["video", "frame"])
    used = {source.name: source.used for source in plan.sources}
    wanted: dict[str, set[int]] = defaultdict(set)
    for video, frame in zip(keys["video"].to_pylist(), keys["frame"].to_pylist(), strict=True):
        if _within(frame, used[video]):
            wanted[video].add(frame)
    for video, frames in sorted(wanted.items()):
        missing = sorted(frame for frame in frames if (video, frame) not in pictures)
        if len(missing) == len(frames):
            raise InputError(
                f"none of its {len(frames)} labelled key frames was extracted.",
                file=video,
                hint="Run frame extraction again with all groups; is the video damaged?",
            )
        if missing:
            warn(
                f"{video}: {len(missing)} of {len(frames)} labelled key frames were not extracted,"
                f" the first is frame {missing[0]}; they are left out."
            )
