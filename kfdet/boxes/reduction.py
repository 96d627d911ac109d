"""The way back from a box on every frame to few key frames.

Method: the "min-#" problem of polygonal approximation (H. Imai and M. Iri, "Polygonal
approximations of a curve", in Computational Morphology, 1988). The boxes are the nodes of a graph;
an edge leads from one box to a later one if the straight motion between the two overlaps every box
in between enough. Each choice of key frames is a path from the first node to the last, so a
shortest path has the fewest keys. Edges lead forward in time only: one pass in the order of the
frames finds it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes, iou_pairs

Integers = npt.NDArray[np.int64]

LEAST_OVERLAP = 0.85
"""Intersection over union that an interpolated box has with the box that it stands for."""

_LONGEST = 256
"""Boxes between two key frames, at most: bounds time and memory for objects that keep still."""


def fewest_keys(frames: Integers, boxes: Boxes, least: float = LEAST_OVERLAP) -> Integers:
    """Rows of the fewest boxes between which linear interpolation holds all others.

    No choice of fewer rows does, with at most 256 boxes between two of them.

    Args:
        frames: (N,) frames of one track, rising, at least one.
        boxes: (N, 4) its boxes.
        least: Intersection over union with its own box that every interpolated box reaches, in
            (0, 1].

    Returns:
        Rising rows, the first and the last among them.
    """
    count = len(frames)
    steps = np.full(count, count)  # edges on the shortest path to each row
    before = np.zeros(count, np.int64)
    steps[0] = 0
    for row in range(count - 1):
        ahead = np.arange(row + 1, min(row + 2 + _LONGEST, count))
        longer = steps[ahead] > steps[row] + 1
        if not longer.any():
            continue
        ahead = ahead[: _reach(frames, boxes, row, ahead, least)]
        ends = ahead[longer[: len(ahead)]]
        found = ends[_holds(frames, boxes, row, ends, least)]
        steps[found], before[found] = steps[row] + 1, row
    rows = [count - 1]
    while rows[-1]:
        rows.append(int(before[rows[-1]]))
    return np.array(rows[::-1])


def _reach(frames: Integers, boxes: Boxes, row: int, ahead: Integers, least: float) -> int:
    """How many of the rows `ahead` may end a motion that begins at `row`; at least the first.

    Sides of a box that overlaps another one of width w by `least` are at most (1 - least) * w
    farther inside and (1 / least - 1) * w farther outside than the other's. So each row leaves a
    range of speeds of every side, and beyond a row from which on no speed fits there is no end.
    """
    size = np.tile(boxes[ahead, 2:] - boxes[ahead, :2], 2)
    inside, outside = (1 - least) * size, (1 / least - 1) * size
    inward = np.array([1, 1, -1, -1])
    bounds = boxes[ahead] - inward * outside, boxes[ahead] + inward * inside
    after = (frames[ahead] - frames[row])[:, None]
    slowest = np.maximum.accumulate((np.minimum(*bounds) - boxes[row]) / after)
    fastest = np.minimum.accumulate((np.maximum(*bounds) - boxes[row]) / after)
    fits = (slowest <= fastest).all(axis=1)
    return max(1, int(np.sum(fits)))  # what does not fit once does not fit later


def _holds(
    frames: Integers, boxes: Boxes, row: int, ends: Integers, least: float
) -> npt.NDArray[np.bool_]:
    """For which of the E `ends` the motion from `row` holds the boxes in between: (E,)."""
    if not len(ends):
        return np.zeros(0, bool)
    between = np.arange(row + 1, ends[-1])
    share = (frames[between] - frames[row]) / (frames[ends] - frames[row])[:, None]
    moved = boxes[row] + share[..., None] * (boxes[ends] - boxes[row])[:, None]
    holds = iou_pairs(moved, boxes[between]) >= least
    kept: npt.NDArray[np.bool_] = np.all(holds | (between >= ends[:, None]), axis=1)
    return kept
