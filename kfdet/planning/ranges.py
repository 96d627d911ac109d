"""Frame ranges: sorted, disjoint (first, last) pairs, both inclusive."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kfdet.planning.plan import FrameRange

Ranges = tuple[FrameRange, ...]


def merge(ranges: Iterable[FrameRange]) -> Ranges:
    """The union of `ranges`; those that touch become one, those that are empty vanish."""
    merged: list[FrameRange] = []
    for first, last in sorted(r for r in ranges if r[0] <= r[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def intersect(a: Iterable[FrameRange], b: Iterable[FrameRange]) -> Ranges:
    """The frames that are in both."""
    b = tuple(b)
    return merge((max(x[0], y[0]), min(x[1], y[1])) for x in a for y in b)


def contains(ranges: Iterable[FrameRange], frames: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `frames` are in `ranges`."""
    inside = np.zeros(len(frames), bool)
    for first, last in ranges:
        inside |= (frames >= first) & (frames <= last)
    return inside
