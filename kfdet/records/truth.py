"""The frames on which a detector is measured: those with boxes that a person drew.

A box between key frames is an estimate. Where it misses its object, a good detection beside it
would count as an error, so that only drawn boxes are truth. Best are frames on which every visible
object has a drawn box; on others the undrawn objects are neither rewarded nor punished
(`kfdet.evaluation.attribution`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Frame = tuple[str, int]
"""Name of a source, 0-based frame."""

ENOUGH = 0.5
"""Fully drawn frames suffice if they hold at least this share of each label's drawn boxes."""


class Objects(NamedTuple):
    """The N objects on one frame: class ids, and whether a person drew each one there."""

    class_ids: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.bool_]


def measured_frames(frames: Mapping[Frame, Objects]) -> set[Frame]:
    """Those of `frames` that are truth.

    Frames without a box, which a person covered, always are. Of each source, the fully drawn frames
    are where they hold ENOUGH of its drawn boxes, of every label; otherwise every frame with a
    drawn box is.
    """
    truth = {frame for frame, objects in frames.items() if not len(objects.drawn)}
    by_source: defaultdict[str, list[Frame]] = defaultdict(list)
    for frame, objects in frames.items():
        if objects.drawn.any():
            by_source[frame[0]].append(frame)
    for mine in by_source.values():
        full = [frame for frame in mine if frames[frame].drawn.all()]
        of_all = _drawn_boxes(frames[frame] for frame in mine)
        of_full = _drawn_boxes(frames[frame] for frame in full)
        enough = all(of_full[label] >= ENOUGH * count for label, count in of_all.items())
        truth.update(full if enough else mine)
    return truth


def _drawn_boxes(frames: Iterable[Objects]) -> Counter[int]:
    """How many boxes of each class a person drew on these frames."""
    counts: Counter[int] = Counter()
    for objects in frames:
        counts.update(objects.class_ids[objects.drawn].tolist())
    return counts
