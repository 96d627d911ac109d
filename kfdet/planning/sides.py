"""What a split assigns, the sides that it makes, and the boxes that are then on each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kfdet.dataset.formats.model import Side
from kfdet.planning.plan import Source
from kfdet.planning.ranges import Ranges, contains

Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.signedinteger[Any]]
"""In few bytes each, as there may be millions of frames."""
Flags = npt.NDArray[np.bool_]
Strategy = Literal["video", "time-block", "image", "own", "whole"]
Gaps = dict[str, float]
"""Seconds left out on each side of the evaluation block, by the name of the video."""

LARGEST_GUARD_SHARE = 0.1
"""A guard gap takes at most this share of a video's used stretch; videos may be short."""

SIDE_TITLES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class SplitInput:
    """One source that the split assigns, and its usable frames.

    Args:
        source: The source.
        usable: Ranges with boxes or covered background.
        frames: (F,) the frames of these ranges that the run will use, rising.
        labels: (P,) numbers of the labels that it shows, rising: a few of those that there are.
        boxes: (F, P) boxes of these labels on these frames.
        busy: (F,) whether a frame is beside a box (`kfdet.planning.background`).
        key_frames: Frames with key boxes that show that a person looked at them.
        duplicate: Sources with the same number show the same pictures.
        side: The side that the dataset puts the source on.
    """

    source: Source
    usable: Ranges
    frames: Integers
    labels: Integers
    boxes: Counts
    busy: Flags
    key_frames: Integers
    duplicate: int
    side: Side = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """Frame ranges of one source on every side."""

    train: Ranges = ()
    val: Ranges = ()
    test: Ranges = ()


def units_of(inputs: Sequence[SplitInput]) -> list[list[SplitInput]]:
    """Inputs that must stay together on one side."""
    units: defaultdict[int, list[SplitInput]] = defaultdict(list)
    for one in inputs:
        units[one.duplicate].append(one)
    return list(units.values())


def whole(units: Sequence[Sequence[SplitInput]], val: Flags) -> dict[str, Sides]:
    """Every unit as a whole: in evaluation where `val` is set, else in training."""
    return {
        m.source.name: Sides(val=m.usable) if is_val else Sides(train=m.usable)
        for unit, is_val in zip(units, val, strict=True)
        for m in unit
    }


def total(counts: Iterable[tuple[Integers, Counts]], labels: int) -> Integers:
    """Boxes of each of so many labels, (L,), of pairs as `SplitInput` has them."""
    total = np.zeros(labels, np.int64)
    for shown, boxes in counts:
        total[shown] += boxes.sum(axis=0)
    return total


def total_of(
    inputs: Sequence[SplitInput], sides: Mapping[str, Sides], side: str, labels: int
) -> Integers:
    """Boxes of each of so many labels on one side."""
    inside = (contains(getattr(sides[m.source.name], side), m.frames) for m in inputs)
    chosen = ((m.labels, m.boxes[own]) for m, own in zip(inputs, inside, strict=True))
    return total(chosen, labels)


def missing_labels(
    inputs: Sequence[SplitInput], sides: Mapping[str, Sides], labels: int
) -> tuple[int, int]:
    """How many of so many labels have no box in training, and how many none in evaluation."""
    train, val = (total_of(inputs, sides, side, labels) for side in ("train", "val"))
    used = total(((m.labels, m.boxes) for m in inputs), labels) > 0
    return int((used & (train == 0)).sum()), int((used & (val == 0)).sum())
