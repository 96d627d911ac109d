"""How good a model is on each video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.interval import resampled_ap50
from kfdet.evaluation.measurement import Measurement

IMAGES = "images"
"""The row of all pictures that are not frames of a video."""


def by_video(
    truths: Sequence[GroundTruth], measurement: Measurement, videos: Container[str]
) -> dict[str, dict[str, Any]]:
    """AP50, measured frames, truth boxes, and errors at the threshold, by video.

    Args:
        truths: Every picture of the split.
        measurement: Of one model on them.
        videos: Names of the sources that are videos; all images are one row.
    """
    rows = [truth.video if truth.video in videos else IMAGES for truth in truths]
    names = sorted(set(rows), key=lambda name: (name == IMAGES, name))
    inside = np.array([[row == name for row in rows] for name in names], float)
    measured = np.array([truth.measured for truth in truths], float)
    ap50 = resampled_ap50(measurement.matches, inside * measured)
    boxes: Counter[str] = Counter()
    for row, truth in zip(rows, truths, strict=True):
        boxes[row] += int(truth.counted.sum())
    missed = Counter(rows[miss.image] for miss in measurement.analysis.misses)
    wrong = Counter(rows[found.image] for found in measurement.analysis.false_positives)
    return {
        name: {
            "AP50": None if np.isnan(value) else round(float(value), 9),
            "frames": int((own * measured).sum()),
            "boxes": boxes[name],
            "missed": missed[name],
            "false_positives": wrong[name],
        }
        for name, value, own in zip(names, ap50.tolist(), inside, strict=True)
    }
