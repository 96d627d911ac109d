"""COCOeval over everything at once, as its authors use it: what the metrics must agree with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth


def plain_coco(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], labels: Sequence[str]
) -> COCOeval:
    """COCOeval after its last step, for truth without difficult and interpolated boxes."""
    objects, found = [], []
    for truth, answer in zip(truths, detections, strict=True):
        for box, k, crowd in zip(truth.boxes, truth.classes, truth.crowd, strict=True):
            objects.append(_row(truth, box, int(k)) | {"iscrowd": int(crowd)})
        for box, label, score in zip(answer.boxes, answer.labels, answer.scores, strict=True):
            found.append(_row(truth, box, labels.index(label) + 1) | {"score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(truths, labels, objects), _coco(truths, labels, found), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def mean_precision(evaluator: COCOeval, area: int, threshold: int | None = None) -> float:
    """AP over all labels with objects in an area range, at one or all thresholds."""
    precision = evaluator.eval["precision"][:, :, :, area, -1]
    if threshold is not None:
        precision = precision[[threshold]]
    return float(precision[precision > -1].mean())


def _row(truth: GroundTruth, box: np.ndarray, class_id: int) -> dict[str, Any]:
    size = box[2:] - box[:2]
    return {
        "image_id": truth.source_id,
        "category_id": class_id,
        "bbox": [*box[:2].tolist(), *size.tolist()],
        "area": float(size.prod()),
    }


def _coco(truths: Sequence[GroundTruth], labels: Sequence[str], rows: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": truth.source_id} for truth in truths],
        "categories": [{"id": k, "name": name} for k, name in enumerate(labels, start=1)],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
    }
    coco.createIndex()
    return coco
