"""COCO's metrics, computed by pycocotools from arrays in memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.model_run import class_ids

# A box of this area lies outside every area range of COCOeval, so that the box is ignored and
# still compared by plain IoU. (Its `ignore` field is overwritten by `iscrowd`, which would compare
# by the share of the detection that is covered.)
_IGNORED_AREA = -1.0

_IOU_50, _IOU_75 = 0, 5  # positions in COCOeval's thresholds .50, .55, ... .95
_AREAS = {"": 0, "_small": 1, "_medium": 2, "_large": 3}
_HUNDRED_DETECTIONS = 2  # position in COCOeval's maxDets 1, 10, 100


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """AP and AP50 of one label; None where the validation images hold no such box."""

    ap: float | None
    ap50: float | None
    boxes: int


@dataclass(frozen=True, slots=True)
class CocoMetrics:
    """COCO's summary numbers, each 0..1, or None where there is nothing to average over.

    Small, medium and large are areas below 32², below 96² and above in source pixels.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar100: float | None
    per_class: dict[str, ClassMetrics]


def evaluate_coco(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], labels: Sequence[str]
) -> CocoMetrics:
    """COCO's box metrics over all images, at most 100 detections per image.

    Crowd boxes follow COCO's rule (they swallow any number of detections); difficult boxes are
    ignored as in Pascal VOC: neither found nor missed, and detections on them are no
    false positives.

    Args:
        truths: Every image, with boxes or without.
        detections: The answers, in the same order.
        labels: Label names; class id = position + 1.
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(
            _coco(truths, labels, [_truth_rows(truth) for truth in truths]),
            _coco(truths, labels, [_detection_rows(found, labels) for found in detections]),
            "bbox",
        )
        evaluator.evaluate()
        evaluator.accumulate()
    # precision: thresholds, recalls, classes, areas, maxDets; recall: the same without recalls.
    precision = evaluator.eval["precision"][..., _HUNDRED_DETECTIONS]
    recall = evaluator.eval["recall"][..., _HUNDRED_DETECTIONS]
    counts = _count(truths, len(labels))
    return CocoMetrics(
        ap=_mean(precision[..., _AREAS[""]]),
        ap50=_mean(precision[_IOU_50, ..., _AREAS[""]]),
        ap75=_mean(precision[_IOU_75, ..., _AREAS[""]]),
        ap_small=_mean(precision[..., _AREAS["_small"]]),
        ap_medium=_mean(precision[..., _AREAS["_medium"]]),
        ap_large=_mean(precision[..., _AREAS["_large"]]),
        ar100=_mean(recall[..., _AREAS[""]]),
        per_class={
            label: ClassMetrics(
                ap=_mean(precision[:, :, k, _AREAS[""]]),
                ap50=_mean(precision[_IOU_50, :, k, _AREAS[""]]),
                boxes=int(counts[k]),
            )
            for k, label in enumerate(labels)
        },
    )


def _coco(
    truths: Sequence[GroundTruth], labels: Sequence[str], rows: Sequence[list[dict[str, Any]]]
) -> Any:
    """A COCO index of one list of annotation rows per image."""
    from pycocotools.coco import COCO

    coco = COCO()
    annotations = [
        {"id": number, "image_id": truth.source_id, **row}
        for number, (truth, row) in enumerate(
            ((truth, row) for truth, group in zip(truths, rows, strict=True) for row in group),
            start=1,  # COCOeval takes id 0 for "not matched".
        )
    ]
    coco.dataset = {
        "images": [{"id": truth.source_id} for truth in truths],
        "categories": [{"id": k, "name": name} for k, name in enumerate(labels, start=1)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _truth_rows(truth: GroundTruth) -> list[dict[str, Any]]:
    sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
    areas = np.where(truth.difficult, _IGNORED_AREA, sizes.prod(axis=1))
    return [
        {
            "bbox": [*map(float, box[:2]), *map(float, size)],
            "area": float(area),
            "category_id": int(class_id),
            "iscrowd": int(crowd),
        }
        for box, size, area, class_id, crowd in zip(
            truth.boxes, sizes, areas, truth.classes, truth.crowd, strict=True
        )
    ]


def _detection_rows(found: Detections, labels: Sequence[str]) -> list[dict[str, Any]]:
    # A box turned inside out has area 0: a negative one would lie outside COCO's area ranges and
    # go unpunished.
    sizes = np.clip(found.boxes[:, 2:] - found.boxes[:, :2], 0, None)
    return [
        {
            "bbox": [*map(float, box[:2]), *map(float, size)],
            "area": float(size.prod()),
            "category_id": int(class_id),
            "score": float(score),
        }
        for box, size, class_id, score in zip(
            found.boxes, sizes, class_ids(found, labels), found.scores, strict=True
        )
    ]


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """The mean over what was measured; COCOeval marks the rest with -1.

    Rounded, because COCOeval's precision of a perfect answer is 1 - 1e-16, below a gate of 1.
    """
    measured = values[values > -1]
    return round(float(measured.mean()), 9) if measured.size else None


def _count(truths: Sequence[GroundTruth], classes: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(classes + 1, dtype=np.int64)
    for truth in truths:
        counted = ~(truth.crowd | truth.difficult)
        counts += np.bincount(truth.classes[counted], minlength=classes + 1)
    return counts[1:]
