"""Selection of the frames of a source that become training and validation examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kfdet.errors import KfdetError
from kfdet.planning.plan import FrameRange, Source
from kfdet.planning.ranges import contains
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.truth import Objects, measured_frames

SplitName = Literal["train", "val", "test"]
Kind = Literal["frame", "background", "crop"]
Window = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels of the source."""

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""All that a dataset may have; most have no test side."""
KINDS: tuple[Kind, ...] = ("frame", "background", "crop")

_MEASURING: tuple[SplitName, ...] = ("val", "test")


@dataclass(frozen=True, slots=True)
class Choice:
    """A frame that becomes an example.

    Args:
        source_id: Unique over all splits, from 1.
        split: Side of the split.
        frame: 0-based frame of the source.
        kind: "frame" has boxes, "background" and "crop" have none.
        window: The part of the source that its picture shows, a "crop" only.
        measured: Whether evaluation measures on it (see `kfdet.records.truth`); training examples
            are not.
    """

    source_id: int
    split: SplitName
    frame: int
    kind: Kind
    window: Window | None = None
    measured: bool = False

    def crop(
        self, stored: tuple[int, int], source: tuple[int, int]
    ) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the window in pixels of the stored picture; None: all of it.

        Args:
            stored: Width and height of the extracted picture.
            source: Width and height of the source.
        """
        if self.window is None:
            return None
        wide, high = stored
        scale = np.array([wide / source[0], high / source[1]] * 2)
        left, top, right, bottom = np.round(np.array(self.window) * scale).astype(int).tolist()
        return max(left, 0), max(top, 0), min(right, wide), min(bottom, high)


def choose_examples(
    source: Source,
    frames: npt.NDArray[np.int64],
    boxes: FrameBoxes,
    negatives: Iterable[Mapping[str, Any]],
    covered: Sequence[FrameRange],
) -> list[Choice]:
    """The examples of a source, by frame.

    Training: every frame of a training range that has boxes, and the mined negatives. Validation:
    every frame of a validation range that has boxes or that a person covered; of a background video
    the share that the plan says. Those that are truth (`kfdet.records.truth`) are measured on; the
    others are only looked at. Test: likewise.

    Args:
        source: The source.
        frames: The frames that the run uses, rising.
        boxes: Its boxes, and maybe those of others.
        negatives: Its mined background (`kfdet.records.negatives.NEGATIVE_SCHEMA`).
        covered: Frame ranges in which frames without boxes truly show background.

    Raises:
        KfdetError: A negative touches a box or lies outside the training ranges.
    """
    chosen = [
        Choice(_number(source, frame), "train", frame, "frame")
        for frame in frames[contains(source.train, frames)].tolist()
        if boxes.has(source.name, frame)
    ]
    for row in negatives:
        _check_negative(row, source, boxes)
        frame = row["frame"]
        if row["kind"] == "crop":
            window = (row["xmin"], row["ymin"], row["xmax"], row["ymax"])
            chosen.append(Choice(_number(source, frame) + 1, "train", frame, "crop", window))
        else:
            chosen.append(Choice(_number(source, frame), "train", frame, "background"))
    for split in _MEASURING:
        ranges = getattr(source, split)
        if ranges:
            chosen += _measuring(source, split, frames[contains(ranges, frames)], boxes, covered)
    return sorted(chosen, key=lambda choice: choice.source_id)


def _measuring(
    source: Source,
    split: SplitName,
    frames: npt.NDArray[np.int64],
    boxes: FrameBoxes,
    covered: Sequence[FrameRange],
) -> list[Choice]:
    """The frames of a measuring side that have boxes or that a person covered."""
    with_boxes = np.array([boxes.has(source.name, frame) for frame in frames.tolist()], bool)
    found = frames[with_boxes | contains(covered, frames)]
    if source.background and source.background_share < 1:
        # evenly spread: a long video of an empty place shows much of the same
        kept = math.ceil(len(found) * source.background_share)
        found = found[((np.arange(kept) + 0.5) * len(found) / max(kept, 1)).astype(np.int64)]
    truth = measured_frames(
        {(source.name, frame): _objects(source.name, frame, boxes) for frame in found.tolist()}
    )
    return [
        Choice(
            _number(source, frame),
            split,
            frame,
            "frame" if boxes.has(source.name, frame) else "background",
            measured=(source.name, frame) in truth,
        )
        for frame in found.tolist()
    ]


def _objects(name: str, frame: int, boxes: FrameBoxes) -> Objects:
    """The objects on a frame."""
    rows = boxes.objects(name, frame)
    return Objects(boxes.class_ids[rows], boxes.drawn[rows])


def _number(source: Source, frame: int) -> int:
    """The number of the example of a frame; that of a crop is the next one."""
    return source.first_id + 2 * (frame - source.start)


def _check_negative(row: Mapping[str, Any], source: Source, boxes: FrameBoxes) -> None:
    """A negative must be in a training range and show no part of any box."""
    place = f"{source.name}, frame {row['frame']}"
    if not any(first <= row["frame"] <= last for first, last in source.train):
        raise KfdetError(f"{place}: background from outside the training ranges.")
    corners = boxes.corners[boxes.of(source.name, row["frame"])]
    low, high = (row["xmin"], row["ymin"]), (row["xmax"], row["ymax"])
    meets = (corners[:, :2] < high).all(axis=1) & (corners[:, 2:] > low).all(axis=1)
    if meets.any():
        raise KfdetError(f"{place}: a background picture shows a labelled box.")
