"""COCO's metrics: pycocotools matches arrays in memory, and every false positive has a weight."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.detection import Detections
from kfdet.evaluation.attribution import Weights
from kfdet.evaluation.average_precision import Floats, average_precision
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import class_ids

# A box of this area lies outside every area range of COCOeval, so that the box is ignored and
# still compared by plain IoU. (Its `ignore` field is overwritten by `iscrowd`, which would compare
# by the share of the detection that is covered.)
_IGNORED_AREA = -1.0

_IOU_50, _IOU_75 = 0, 5  # positions in COCOeval's thresholds .50, .55, ... .95
_AREAS = {"": 0, "_small": 1, "_medium": 2, "_large": 3}


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
    from pycocotools.cocoeval import COCOeval

    if weights is None:
        weights = [np.ones(len(found)) for found in detections]
    measured = [i for i, truth in enumerate(truths) if truth.measured]
    images = [truths[i] for i in measured]
    found = [detections[i].where(weights[i] > 0) for i in measured]
    counts = np.concatenate([np.empty(0), *(weights[i][weights[i] > 0] for i in measured)])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(
            _coco(images, labels, [_truth_rows(truth) for truth in images]),
            _coco(images, labels, [_detection_rows(each, labels) for each in found]),
            "bbox",
        )
        evaluator.evaluate()
    place = {truths[i].source_id: i for i in measured}
    by_area = {
        suffix: [_matches(evaluator, k, a, counts, place, len(truths)) for k in range(len(labels))]
        for suffix, a in _AREAS.items()
    }
    ap = {suffix: [_ap(each) for each in by_area[suffix]] for suffix in _AREAS}
    everything = by_area[""]
    boxes = sum((_objects(truth, len(labels)) for truth in images), np.zeros(len(labels), int))
    metrics = CocoMetrics(
        ap=_mean(ap[""]),
        ap50=_mean([values[_IOU_50] for values in ap[""]]),
        ap75=_mean([values[_IOU_75] for values in ap[""]]),
        ap_small=_mean(ap["_small"]),
        ap_medium=_mean(ap["_medium"]),
        ap_large=_mean(ap["_large"]),
        ar100=_mean([_recall(each) for each in everything]),
        per_class={
            label: ClassMetrics(
                ap=_mean(ap[""][k]), ap50=_mean(ap[""][k][_IOU_50]), boxes=int(boxes[k])
            )
            for k, label in enumerate(labels)
        },
    )
    return metrics, [
        Matches(each.images, each.right[:1], each.wrong[:1], each.objects) for each in everything
    ]


def _matches(
    evaluator: Any, label: int, area: int, weights: Floats, place: Mapping[int, int], images: int
) -> Matches:
    """COCOeval's matches of one label and area range; `weights` by the id of a detection, from 1.

    Args:
        evaluator: After `evaluate`.
        label: Position of the label.
        area: Position of the area range.
        weights: Of every detection, in the order of their ids.
        place: Position of an image by its id.
        images: How many there are.
    """
    parameters = evaluator.params
    start = (label * len(parameters.areaRng) + area) * len(parameters.imgIds)
    entries = [e for e in evaluator.evalImgs[start : start + len(parameters.imgIds)] if e]
    objects = np.zeros(images)
    for entry in entries:
        objects[place[entry["image_id"]]] = np.count_nonzero(np.equal(entry["gtIgnore"], 0))
    thresholds = len(parameters.iouThrs)
    scores = np.concatenate([np.empty(0), *(e["dtScores"] for e in entries)])
    order = np.argsort(-scores, kind="stable")  # as COCOeval.accumulate sorts

    def joined(field: str) -> npt.NDArray[np.bool_]:
        parts = [np.zeros((thresholds, 0)), *(np.asarray(e[field]) for e in entries)]
        both: npt.NDArray[np.bool_] = np.concatenate(parts, axis=1)[:, order].astype(bool)
        return both

    ids = np.concatenate([np.empty(0, np.int64), *(np.array(e["dtIds"], int) for e in entries)])
    where = [np.full(len(e["dtIds"]), place[e["image_id"]]) for e in entries]
    matched, ignored = joined("dtMatches"), joined("dtIgnore")
    return Matches(
        images=np.concatenate([np.empty(0, np.int64), *where])[order],
        right=(matched & ~ignored).astype(float),
        wrong=(~matched & ~ignored) * weights[ids[order] - 1],
        objects=objects,
    )


def _ap(matches: Matches) -> Floats:
    """Average precision at each IoU threshold."""
    objects = np.full(len(matches.right), matches.objects.sum())
    return average_precision(matches.right, matches.wrong, objects)


def _recall(matches: Matches) -> Floats:
    """Share of the objects that was found, at each IoU threshold."""
    total = matches.objects.sum()
    found: Floats = matches.right.sum(axis=1)
    return found / total if total else np.full(len(found), np.nan)


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
    rows = truth.drawn | truth.crowd
    boxes, sizes = truth.boxes[rows], (truth.boxes[:, 2:] - truth.boxes[:, :2])[rows]
    areas = np.where(truth.difficult[rows], _IGNORED_AREA, sizes.prod(axis=1))
    return [
        {
            "bbox": [*map(float, box[:2]), *map(float, size)],
            "area": float(area),
            "category_id": int(class_id),
            "iscrowd": int(crowd),
        }
        for box, size, area, class_id, crowd in zip(
            boxes, sizes, areas, truth.classes[rows], truth.crowd[rows], strict=True
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


def _mean(values: npt.ArrayLike) -> float | None:
    """The mean over what was measured; what was not is NaN.

    Rounded, because the precision of a perfect answer is 1 - 1e-16, below a gate of 1.
    """
    measured = np.asarray(values, float)
    measured = measured[~np.isnan(measured)]
    return round(float(measured.mean()), 9) if measured.size else None


def _objects(truth: GroundTruth, classes: int) -> npt.NDArray[np.int64]:
    """How many boxes of each class count."""
    return np.bincount(truth.classes[truth.counted], minlength=classes + 1)[1:]
