"""How good a model is on each video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.evaluation.average_precision import Floats, average_precision
from kfdet.evaluation.coco import Matches
from kfdet.evaluation.ground_truth import GroundTruth
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
    place = {name: number for number, name in enumerate(names)}
    ap50 = _ap50(measurement.matches, np.array([place[row] for row in rows]), len(names))
    frames = Counter(row for row, truth in zip(rows, truths, strict=True) if truth.measured)
    boxes: Counter[str] = Counter()
    for row, truth in zip(rows, truths, strict=True):
        boxes[row] += int(truth.counted.sum())
    missed = Counter(rows[miss.image] for miss in measurement.analysis.misses)
    wrong = Counter(rows[found.image] for found in measurement.analysis.false_positives)
    return {
        name: {
            "AP50": None if np.isnan(value) else round(float(value), 9),
            "frames": frames[name],
            "boxes": boxes[name],
            "missed": missed[name],
            "false_positives": wrong[name],
        }
        for name, value in zip(names, ap50.tolist(), strict=True)
    }


def _ap50(matches: Sequence[Matches], videos: npt.NDArray[np.int64], count: int) -> Floats:
    """AP50 of each video, (count,); NaN where there is no object.

    Args:
        matches: Of every label.
        videos: (I,) position of each picture's video.
        count: How many videos there are.
    """
    totals, labels = np.zeros(count), np.zeros(count)
    for one in matches:
        objects = np.bincount(videos, one.objects, minlength=count).astype(float)
        of_detection = videos[one.images]
        order = np.argsort(of_detection, kind="stable")
        ends = np.searchsorted(of_detection[order], np.arange(count + 1))
        for video in np.flatnonzero(objects).tolist():
            own = order[ends[video] : ends[video + 1]]
            (ap,) = average_precision(one.right[:, own], one.wrong[:, own], objects[[video]])
            totals[video] += ap
            labels[video] += 1
    mean: Floats = np.full(count, np.nan)
    np.divide(totals, labels, out=mean, where=labels > 0)
    return mean
