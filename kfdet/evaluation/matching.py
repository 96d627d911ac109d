"""Which detection found which box, at IoU 0.5 and the way COCO does it: the best score chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes, iou_matrix
from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth

MATCH_IOU = 0.5
TOUCH_IOU = 0.1
"""TIDE's border between a badly placed box and background."""

NO_MATCH, IGNORED = -1, -2


class Found(NamedTuple):
    """Detections of one picture with class ids in place of label names."""

    boxes: Boxes
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]


def class_ids(found: Detections, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Class ids of detections, shape (N,): positions in `labels`, from 1."""
    ids = {label: number for number, label in enumerate(labels, start=1)}
    return np.array([ids[label] for label in found.labels], np.int64)


def to_found(found: Detections, labels: Sequence[str]) -> Found:
    """The detections of one picture with their class ids."""
    return Found(found.boxes, found.scores, class_ids(found, labels))


def match(truth: GroundTruth, found: Found) -> npt.NDArray[np.int64]:
    """For every detection the counted box of its label that it found, or NO_MATCH, or IGNORED.

    IGNORED is a detection on a crowd or a difficult box.
    """
    result = np.full(len(found.scores), NO_MATCH, dtype=np.int64)
    if not len(truth.boxes):
        return result
    same = found.classes[:, None] == truth.classes[None, :]
    iou = np.where(same, iou_matrix(found.boxes, truth.boxes), 0.0)
    free = truth.counted
    forgiving = truth.crowd | truth.difficult
    ignored = np.where(truth.crowd[None, :] & same, _covered(found.boxes, truth.boxes), iou)
    ignored[:, ~forgiving] = 0.0
    near = (iou.max(axis=1) >= MATCH_IOU) | (ignored.max(axis=1) >= MATCH_IOU)
    order = np.argsort(-found.scores, kind="stable")
    for detection in order[near[order]]:
        candidates = np.where(free, iou[detection], 0.0)
        box = int(candidates.argmax())
        if candidates[box] >= MATCH_IOU:
            result[detection] = box
            free[box] = False
        elif ignored[detection].max() >= MATCH_IOU:
            result[detection] = IGNORED
    return result


def _covered(boxes: Boxes, crowds: Boxes) -> npt.NDArray[np.float64]:
    """Share of each box's area inside each crowd: COCO's overlap with a crowd."""
    top_left = np.maximum(boxes[:, None, :2], crowds[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    overlap = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    areas = np.broadcast_to(sizes[:, None], overlap.shape)
    share: npt.NDArray[np.float64] = np.zeros_like(overlap)
    np.divide(overlap, areas, out=share, where=areas > 0)
    return share
