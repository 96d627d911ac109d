"""The most plausible path of an object between two key frames, and its smoothing.

A path of cells on a grid that moves along with a first guess, found by dynamic programming
(Viterbi): how well each cell looks like the object, against how far the path leaves the guess's
motion from one picture to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kfdet.motion.scene import Picture, window

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Cells = npt.NDArray[np.int64]

_CELLS = 20
"""Cells on each side of the guess, at most: their number decides the time that a step takes."""
_STRAY = 0.2
"""Share of the object's longer side: to stray that far from the guess's motion within a tenth of a
second costs as much as to look nothing like the object."""
_PULL = 0.05
"""Cost of a place that is the object's longer side away from the guess."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an object looks like in one kind of picture.

    Args:
        pictures: One picture per step of the path, gray or of what moves.
        templates: The object at the first and at the last key frame, or one that is good for both;
            of one size, odd in width and height.
    """

    pictures: Sequence[Picture]
    templates: tuple[Picture, ...]


def find_path(
    guess: Floats, looks: Sequence[Look], length: float, reach: float, seconds: float
) -> Floats:
    """Find the centres of an object from one key frame to the next.

    Args:
        guess: (N, 2) centres in pixels of the pictures; the first and the last are known.
        looks: What the object looks like, each with N pictures.
        length: The object's longer side, in pixels.
        reach: How far from the guess it may be, in pixels.
        seconds: Time between two steps.

    Returns:
        (N, 2) centres, in whole pixels except for the first and the last.
    """
    pitch = max(1, int(np.ceil(reach / _CELLS)))
    radius = max(2, int(np.ceil(reach / pitch)))
    offsets = ((np.arange(2 * radius + 1) - radius) * pitch).astype(np.float32)
    away = (offsets[:, None] - offsets) ** 2 / np.float32(length**2)
    stray = away * np.float32(0.1 / (seconds * _STRAY**2))
    pull = (away[radius] + away[radius][:, None]) * np.float32(_PULL)

    places = np.rint(guess).astype(np.int64)
    cost = np.full(stray.shape, np.inf, np.float32)
    cost[radius, radius] = 0
    steps: list[tuple[Cells, Cells]] = []
    for step in range(1, len(guess)):
        cost, columns = _nearest(cost, stray)
        transposed, rows = _nearest(cost.T, stray)
        steps.append((rows.T, columns))
        share = step / (len(guess) - 1)
        cost = transposed.T + pull
        for look in looks if step < len(guess) - 1 else ():
            cost = cost + _unlikeness(look, step, share, places[step], radius, pitch)

    row = column = radius
    path = [(column, row)]
    for rows, columns in reversed(steps):
        row = int(rows[row, column])
        column = int(columns[row, column])
        path.append((column, row))
    centres: Floats = (places + (np.array(path[::-1]) - radius) * pitch).astype(np.float64)
    centres[[0, -1]] = guess[[0, -1]]
    return centres


def _nearest(cost: Scores, distance: Scores) -> tuple[Scores, Cells]:
    """For each cell the cheapest one of its row to come from: cost (H, W) and column (H, W)."""
    sums = cost[:, None, :] + distance
    best = sums.argmin(axis=2)
    return np.take_along_axis(sums, best[..., None], axis=2)[..., 0], best


def _unlikeness(
    look: Look, step: int, share: float, place: Cells, radius: int, pitch: int
) -> Scores:
    """1 - correlation with the object, of every cell around `place`: (2 radius + 1) squared."""
    height, width = look.templates[0].shape
    reach = radius * pitch
    left, top = place - reach - (width // 2, height // 2)
    around = window(look.pictures[step], int(left), int(top), 2 * reach + width, 2 * reach + height)
    first, *last = (
        cv2.matchTemplate(around, template, cv2.TM_CCOEFF_NORMED)[::pitch, ::pitch]
        for template in look.templates
    )
    likeness = (1 - share) * first + share * last[0] if last else first
    # Nothing correlates with an even patch, whatever rounding makes of the division by zero.
    likeness = np.nan_to_num(likeness, posinf=0, neginf=0)
    return np.asarray(1 - np.clip(likeness, -1, 1), np.float32)


def smooth(path: Floats, seen: Floats, stiffness: float) -> Floats:
    """The path (N, 2) nearest to `path` with little acceleration.

    Least squares: sum of seen * distance² + stiffness⁴ * second difference².

    Args:
        path: N points, equally spaced in time.
        seen: (N,) weights; 0 where a point says nothing.
        stiffness: In steps: shorter turns are smoothed away.
    """
    from scipy.linalg import solveh_banded

    bands = np.zeros((3, len(path)))
    bands[0] = seen
    strength = stiffness**4
    bands[0, :-2] += strength
    bands[0, 1:-1] += 4 * strength
    bands[0, 2:] += strength
    bands[1, :-2] -= 2 * strength
    bands[1, 1:-1] -= 2 * strength
    bands[2, :-2] += strength
    smoothed: Floats = solveh_banded(bands, seen[:, None] * path, lower=True)
    return smoothed
