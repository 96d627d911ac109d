"""What a detector gets wrong: thresholds, precision-recall curves, confusions and kinds of error.

Boxes match at IoU 0.5 the way COCO matches: the detection with the best score chooses first. A
detection's fate depends on higher-scored detections only, so one pass holds for every threshold.
The kinds of false positives follow TIDE (Bolya et al., ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes, iou_matrix
from kfdet.detection import Detections
from kfdet.evaluation.attribution import Weights
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import (
    IGNORED,
    MATCH_IOU,
    NO_MATCH,
    TOUCH_IOU,
    Found,
    match,
    to_found,
)

SMALL_AREA, LARGE_AREA = 32.0**2, 96.0**2  # COCO's borders, in source pixels
SIZES = ("small", "medium", "large")

ErrorKind = Literal["localisation", "confusion", "duplicate", "background"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("localisation", "confusion", "duplicate", "background")


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall at every distinct score, from the best score down.

    `best` is the position with the highest F1; None where no detection is right.
    """

    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    best: int | None

    @property
    def threshold(self) -> float | None:
        """The score from which on detections are best trusted (score >= threshold)."""
        return None if self.best is None else float(self.scores[self.best])


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """A wrong detection: positions of the image and, in it, of the detection.

    `box` is the position of the box that explains the error, with its `iou`; None on background.
    """

    image: int
    detection: int
    score: float
    kind: ErrorKind
    box: int | None
    iou: float


@dataclass(frozen=True, slots=True)
class Miss:
    """An object that was not found: positions of the image and, in it, of the box.

    `iou` is that of the nearest detection of the right label.
    """

    image: int
    box: int
    area: float
    iou: float


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """All errors at one score threshold, and the curves over all thresholds.

    `confusion` has one row per true label and one column per predicted label, in the order of the
    labels, and agrees with the kinds of error: on its diagonal are the right detections, beside it
    those of the kind "confusion", in the last row those of the kind "background", in the last
    column the misses. Diagonal and last column of a row add up to the label's objects. Detections
    of the kinds "localisation" and "duplicate" have the right label and are not in it.
    `objects` and `missed` count by size, small to large. `background_images` hold no box.
    """

    overall: Curve
    per_class: dict[str, Curve | None]
    threshold: float
    confusion: npt.NDArray[np.int64]
    false_positives: list[FalsePositive]
    misses: list[Miss]
    objects: dict[str, int]
    missed: dict[str, int]
    background_images: int
    background_false_positives: int

    @property
    def false_positives_per_background_image(self) -> float | None:
        """Detections on an image without any object, on average; None without such images."""
        if not self.background_images:
            return None
        return self.background_false_positives / self.background_images

    @property
    def precision(self) -> float | None:
        """Share of right detections at the threshold."""
        return (
            None if self.overall.best is None else float(self.overall.precision[self.overall.best])
        )

    @property
    def recall(self) -> float | None:
        """Share of found objects at the threshold; None where there is no object."""
        if not sum(self.objects.values()):
            return None
        return 0.0 if self.overall.best is None else float(self.overall.recall[self.overall.best])


DEFAULT_THRESHOLD = 0.5
"""Used where no threshold is best because nothing was found."""


def size_names(areas: npt.NDArray[np.float64]) -> list[str]:
    """COCO's size name of each area in square pixels."""
    return [SIZES[i] for i in np.digitize(areas, [SMALL_AREA, LARGE_AREA])]


def analyse(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    weights: Sequence[Weights] | None = None,
) -> ErrorAnalysis:
    """Compare detections with the truth, image by image (all in the same order).

    Everything but the curves is at the overall threshold: the score that maximises F1 over all
    labels together. Crowd and difficult boxes are left out on both sides, and so are the
    detections of weight 0 (see `kfdet.evaluation.attribution`); the curves count a false positive
    with its weight, the numbers of errors do not.
    """
    if weights is None:
        weights = [np.ones(len(found)) for found in detections]
    pairs = [
        (truth, to_found(found, labels)) for truth, found in zip(truths, detections, strict=True)
    ]
    matches = [match(truth, found) for truth, found in pairs]
    for mine, counts in zip(matches, weights, strict=True):
        mine[(counts == 0) & (mine == NO_MATCH)] = IGNORED
    overall, per_class = _curves(pairs, matches, labels, weights)
    threshold = overall.threshold if overall.threshold is not None else DEFAULT_THRESHOLD

    background = len(labels)
    confusion = np.zeros((background + 1, background + 1), dtype=np.int64)
    false_positives: list[FalsePositive] = []
    misses: list[Miss] = []
    objects, missed = dict.fromkeys(SIZES, 0), dict.fromkeys(SIZES, 0)
    background_images = background_false_positives = 0
    for image, ((truth, found), found_box) in enumerate(zip(pairs, matches, strict=True)):
        if not truth.measured:
            continue
        shown = found.scores >= threshold
        counted = truth.counted
        areas = _areas(truth.boxes)
        sizes = size_names(areas)
        right = found_box[shown & (found_box >= 0)]
        wrong: list[int] = np.flatnonzero(shown & (found_box == NO_MATCH)).tolist()
        unfound = counted.copy()
        unfound[right] = False
        for box in np.flatnonzero(counted):
            objects[sizes[box]] += 1
        for row in truth.classes[right] - 1:
            confusion[row, row] += 1
        for detection in wrong:
            score = float(found.scores[detection])
            kind, cause, iou = _kind(truth, found, detection)
            column = found.classes[detection] - 1
            if kind == "background":
                confusion[background, column] += 1
            elif kind == "confusion":
                confusion[truth.classes[cause] - 1, column] += 1
            false_positives.append(FalsePositive(image, detection, score, kind, cause, iou))
        for box in np.flatnonzero(unfound):
            missed[sizes[box]] += 1
            rivals = found.boxes[shown & (found.classes == truth.classes[box])]
            near = float(iou_matrix(truth.boxes[box][None], rivals).max(initial=0.0))
            misses.append(Miss(image, int(box), float(areas[box]), near))
            confusion[truth.classes[box] - 1, background] += 1
        if not len(truth.boxes):
            background_images += 1
            background_false_positives += len(wrong)
    return ErrorAnalysis(
        overall,
        per_class,
        threshold,
        confusion,
        sorted(false_positives, key=lambda wrong: -wrong.score),
        sorted(misses, key=lambda miss: -miss.area),
        objects,
        missed,
        background_images,
        background_false_positives,
    )


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def _curves(
    pairs: Sequence[tuple[GroundTruth, Found]],
    matches: Sequence[npt.NDArray[np.int64]],
    labels: Sequence[str],
    weights: Sequence[Weights],
) -> tuple[Curve, dict[str, Curve | None]]:
    scores = np.concatenate([np.empty(0), *(found.scores for _, found in pairs)])
    classes = np.concatenate([np.empty(0, np.int64), *(found.classes for _, found in pairs)])
    found_box = np.concatenate([np.empty(0, np.int64), *matches])
    objects = np.concatenate(
        [np.empty(0, np.int64), *(truth.classes[truth.counted] for truth, _ in pairs)]
    )
    costs = np.concatenate([np.empty(0), *weights])
    kept = found_box != IGNORED
    per_class: dict[str, Curve | None] = {}
    for k, label in enumerate(labels, start=1):
        total = int((objects == k).sum())
        mine = kept & (classes == k)
        per_class[label] = (
            _curve(scores[mine], found_box[mine] >= 0, costs[mine], total) if total else None
        )
    return _curve(scores[kept], found_box[kept] >= 0, costs[kept], len(objects)), per_class


def _curve(
    scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], costs: Weights, total: int
) -> Curve:
    """The curve of detections, of which the wrong ones count with their costs."""
    order = np.argsort(-scores, kind="stable")
    scores, right, costs = scores[order], right[order], costs[order]
    # Detections of equal score come and go together: cut only where the score changes.
    cuts = np.flatnonzero(np.append(np.diff(scores) != 0, True)) if len(scores) else order
    hits = np.cumsum(right)[cuts]
    made = hits + np.cumsum(np.where(right, 0.0, costs))[cuts]
    precision = np.divide(hits, made, out=np.ones(len(hits)), where=made > 0)
    recall = hits / max(total, 1)
    f1 = np.divide(2 * hits, made + total, out=np.zeros(len(hits)), where=made + total > 0)
    best = int(f1.argmax()) if len(f1) and f1.max() > 0 else None
    return Curve(recall, precision, scores[cuts], best)


def _kind(truth: GroundTruth, found: Found, detection: int) -> tuple[ErrorKind, int | None, float]:
    """Kind of one false positive, the box that explains it, and the IoU with that box.

    A box that is both misplaced and mislabelled counts as confusion. What is interpolated explains
    nothing.
    """
    if len(truth.boxes):
        iou = iou_matrix(found.boxes[detection][None], truth.boxes)[0] * truth.drawn
        same = truth.classes == found.classes[detection]
        cases: tuple[tuple[ErrorKind, npt.NDArray[np.bool_], float], ...] = (
            ("duplicate", same, MATCH_IOU),
            ("confusion", ~same, MATCH_IOU),
            ("localisation", same, TOUCH_IOU),
            ("confusion", ~same, TOUCH_IOU),
        )
        for kind, group, least in cases:
            candidates = np.where(group, iou, 0.0)
            box = int(candidates.argmax())
            if candidates[box] >= least:
                return kind, box, float(candidates[box])
    return "background", None, 0.0
