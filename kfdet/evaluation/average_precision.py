"""COCO's average precision of detections that count with a weight.

The arithmetic is that of COCOeval.accumulate in pycocotools, for many weightings at once: equal
weights give its numbers to the last digit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(right: Floats, wrong: Floats, objects: Floats) -> Floats:
    """Average precision of R weightings, shape (R,); NaN where there is no object.

    Args:
        right: (R, N) weights of N detections that found an object, 0 for the others; by falling
            score.
        wrong: (R, N) weights of those that are wrong, 0 for the others.
        objects: (R,) weight of all objects.
    """
    found = np.cumsum(right, axis=1)
    # COCOeval's own safeguard against 0 / 0.
    precision = found / (np.cumsum(wrong, axis=1) + found + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.full(len(objects), np.nan)
    for row in np.flatnonzero(objects > 0):
        at = np.searchsorted(found[row] / objects[row], RECALLS, side="left")
        reached = at[at < envelope.shape[1]]
        result[row] = envelope[row, reached].sum() / len(RECALLS)
    return result
