"""COCO's metrics: pycocotools matches, and every false positive has a weight.

COCOeval keeps a dictionary for each label on each picture and each area range. It therefore gets
one label at a time, and only what can match at all; of every other detection it is known that it
matches nothing. The numbers are those of one COCOeval over everything.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kfdet.detection import Detections
from kfdet.evaluation.attribution import Weights
from kfdet.evaluation.average_precision import Floats, average_precision
from kfdet.evaluation.coco_rows import Rows, drawn_rows, found_rows, rows_by_image
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import MATCH_IOU

_IOU_50, _IOU_75 = 0, 5  # positions in COCOeval's thresholds .50, .55, ... .95
_AREAS = ("all", "small", "medium", "large")  # COCOeval's area ranges

_MOST_DETECTIONS = 100
"""Of a label on one picture, the best ones: COCOeval's limit."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What COCOeval matched of one label over all images, detections by falling score.

    Args:
        images: (N,) position of each detection's image.
        right: (T, N) 1 where a detection found an object at one of T IoU thresholds, else 0.
        wrong: (T, N) weight of a detection that found nothing, 0 for right and ignored ones.
        objects: (I,) objects on each image.
    """

    images: npt.NDArray[np.int64]
    right: Floats
    wrong: Floats
    objects: Floats


def evaluate_coco(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    weights: Sequence[Weights] | None = None,
) -> tuple[CocoMetrics, list[Matches]]:
    """COCO's box metrics over the measured images, at most 100 detections per image.

    COCOeval matches; false positives count with their weights. Crowd boxes follow COCO's rule (they
    swallow any number of detections); difficult boxes are ignored as in Pascal VOC: neither found
    nor missed, and detections on them are no false positives.

    Args:
        truths: Every image, with boxes or without; only the drawn boxes of measured ones count.
        detections: The answers, in the same order.
        labels: Label names; class id = position + 1.
        weights: What each detection counts if it is wrong (see `kfdet.evaluation.attribution`);
            those of weight 0 are left out before the matching. None: 1 for all.

    Returns:
        The metrics, and each label's matches at IoU 0.5.
    """
    if weights is None:
        weights = [np.ones(len(found)) for found in detections]
    measured = [i for i, truth in enumerate(truths) if truth.measured]
    measured.sort(key=lambda i: truths[i].source_id)  # COCOeval's order among equal scores
    drawn = drawn_rows(truths, measured)
    found = found_rows(detections, weights, labels, measured)
    by_label = [
        _measure(drawn.where(drawn.classes == k), found.where(found.classes == k), len(truths))
        for k in range(1, len(labels) + 1)
    ]
    ap = {name: [areas[a].ap for areas in by_label] for a, name in enumerate(_AREAS)}
    boxes = np.zeros(len(labels), int)
    for i in measured:
        boxes += np.bincount(truths[i].classes[truths[i].counted], minlength=len(labels) + 1)[1:]
    metrics = CocoMetrics(
        ap=_mean(ap["all"]),
        ap50=_mean([values[_IOU_50] for values in ap["all"]]),
        ap75=_mean([values[_IOU_75] for values in ap["all"]]),
        ap_small=_mean(ap["small"]),
        ap_medium=_mean(ap["medium"]),
        ap_large=_mean(ap["large"]),
        ar100=_mean([areas[0].recall for areas in by_label]),
        per_class={
            label: ClassMetrics(
                ap=_mean(ap["all"][k]), ap50=_mean(ap["all"][k][_IOU_50]), boxes=int(boxes[k])
            )
            for k, label in enumerate(labels)
        },
    )
    return metrics, [areas[0].matches for areas in by_label]


class _Measured(NamedTuple):
    """What was measured of one label on objects of one range of areas.

    Args:
        ap: (T,) average precision by IoU threshold.
        recall: (T,) share of the objects that was found.
        matches: At IoU 0.5.
    """

    ap: Floats
    recall: Floats
    matches: Matches


def _measure(drawn: Rows, found: Rows, images: int) -> list[_Measured]:
    """Measure one label, by range of areas.

    Args:
        drawn: Its true boxes.
        found: Its detections.
        images: How many pictures there are.
    """
    found = _best(found)
    evaluator = _evaluator(drawn, found)
    return [_measure_area(evaluator, area, drawn, found, images) for area in range(len(_AREAS))]


def _measure_area(evaluator: Any, area: int, drawn: Rows, found: Rows, images: int) -> _Measured:
    low, high = evaluator.params.areaRng[area]
    counted = ~drawn.crowd & (drawn.areas >= low) & (drawn.areas <= high)
    objects = np.bincount(drawn.images[counted], minlength=images).astype(float)
    matched = np.zeros((len(evaluator.params.iouThrs), len(found.scores)), bool)
    ignored = np.tile((found.areas < low) | (found.areas > high), (len(matched), 1))
    entries = len(evaluator.params.imgIds)
    for entry in evaluator.evalImgs[area * entries : (area + 1) * entries]:
        own = np.array(entry["dtIds"]) - 1
        matched[:, own], ignored[:, own] = entry["dtMatches"] > 0, entry["dtIgnore"]
    right, wrong = matched & ~ignored, ~matched & ~ignored
    total = objects.sum(keepdims=True)
    return _Measured(
        # one threshold after the other, as the numbers of millions of detections take memory
        ap=np.concatenate(
            [
                average_precision(hits[None].astype(float), (misses * found.weights)[None], total)
                for hits, misses in zip(right, wrong, strict=True)
            ]
        ),
        recall=right.sum(axis=1) / total if total[0] else np.full(len(right), np.nan),
        matches=Matches(found.images, right[:1].astype(float), wrong[:1] * found.weights, objects),
    )


def _best(found: Rows) -> Rows:
    """Without what COCOeval would not look at: the weakest of very many on one picture."""
    if np.bincount(found.images).max(initial=0) <= _MOST_DETECTIONS:
        return found
    kept = [rows[:_MOST_DETECTIONS] for rows in rows_by_image(found.images).values()]
    return found.where(np.sort(np.concatenate(kept)))


def _evaluator(drawn: Rows, found: Rows) -> Any:
    """COCOeval with its matches between the objects of a label and the detections near them.

    The id of a detection is its position, from 1: COCOeval takes 0 for "not matched".
    """
    from pycocotools import mask
    from pycocotools.cocoeval import COCOeval

    objects = rows_by_image(drawn.images)
    beside = np.flatnonzero(np.isin(found.images, drawn.images))
    on_images = rows_by_image(found.images[beside])
    near: list[int] = []
    for image, positions in on_images.items():
        rows, around = beside[positions], objects[image]
        overlaps = mask.iou(found.boxes[rows], drawn.boxes[around], drawn.crowd[around])
        near += rows[(overlaps >= MATCH_IOU).any(axis=1)].tolist()
    chosen = np.array(near, np.int64)
    images = np.unique(found.images[chosen])
    true = np.flatnonzero(np.isin(drawn.images, images))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(drawn, true, images), _coco(found, chosen, images), "bbox")
        evaluator.evaluate()
    return evaluator


def _coco(rows: Rows, chosen: npt.NDArray[np.int64], images: npt.NDArray[np.int64]) -> Any:
    """A COCO index of chosen rows, which are all of one label."""
    from pycocotools.coco import COCO

    coco = COCO()
    these = rows.where(chosen)
    coco.dataset = {
        "images": [{"id": image} for image in images.tolist()],
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": position + 1,
                "image_id": image,
                "category_id": 1,
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
                "score": score,
            }
            for position, image, box, area, crowd, score in zip(
                chosen.tolist(),
                these.images.tolist(),
                these.boxes.tolist(),
                these.areas.tolist(),
                these.crowd.tolist(),
                these.scores.tolist(),
                strict=True,
            )
        ],
    }
    coco.createIndex()
    return coco


def _mean(values: npt.ArrayLike) -> float | None:
    """The mean over what was measured; what was not is NaN.

    Rounded, because the precision of a perfect answer is 1 - 1e-16, below a gate of 1.
    """
    measured = np.asarray(values, float)
    measured = measured[~np.isnan(measured)]
    return round(float(measured.mean()), 9) if measured.size else None
