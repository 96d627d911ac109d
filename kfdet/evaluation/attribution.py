"""Whose error is it? Detections beside objects without a drawn box are neither right nor wrong.

On a partly drawn frame an object between its key frames is somewhere near its interpolated box. One
detection of its label in the region where it can be belongs to it: that one is *absorbed*. A
detection that touches an object, drawn or absorbed, belongs to it as well; the others lie on
nothing. What belongs to an undrawn object is left out.

Drawn boxes are a sample of all objects, and false positives have to be sampled in the same
proportion, or precision would seem to fall the fewer boxes are drawn. Each false positive
therefore has a weight: what it stands for (Horvitz and Thompson, 1952), as a drawn box stands for
the undrawn ones of its label. On fully drawn frames and on photos all weights are 1, and the
metrics are COCO's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kfdet.boxes.neighbours import NO_KEY
from kfdet.boxes.tables import Boxes, iou_matrix
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import TOUCH_IOU, Found, match

MARGIN = 0.1
"""Growth of an undrawn object's region, in sides of its box per frame between the key frames."""

LARGEST_MARGIN = 1.0
_LIKE_SHAPE = 0.5  # IoU of the two boxes laid on each other's centre

NOTHING = -1

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """To which objects the N detections on one picture belong.

    Args:
        boxes: (N,) position of the object's box in the ground truth, or NOTHING.
        absorbed: (N,) whether it is taken for the object itself, whose box was not drawn.
    """

    boxes: npt.NDArray[np.int64]
    absorbed: npt.NDArray[np.bool_]


def undrawn(truth: GroundTruth) -> npt.NDArray[np.bool_]:
    """Which boxes are interpolated ones of single objects, (N,)."""
    single: npt.NDArray[np.bool_] = ~truth.drawn & ~truth.crowd
    return single


def regions(truth: GroundTruth) -> Boxes:
    """Where each box's object can be, (N, 4): the hull of its key boxes with a margin.

    The margin is MARGIN sides of the box for each frame of a * b / (a + b), where a and b are the
    frames to the two key frames: nothing on a key frame, most halfway between distant ones.
    """
    hulls = np.concatenate(
        [
            np.minimum(truth.hulls[:, :2], truth.boxes[:, :2]),
            np.maximum(truth.hulls[:, 2:], truth.boxes[:, 2:]),
        ],
        axis=1,
    )
    known = truth.keys != NO_KEY
    away = np.where(known, np.abs(truth.keys - truth.frame), np.inf)
    inverse = np.divide(1.0, away, out=np.full(away.shape, np.inf), where=away > 0).sum(axis=1)
    frames = np.divide(1.0, inverse, out=np.full(len(away), np.inf), where=inverse > 0)
    margin = np.minimum(MARGIN * frames, LARGEST_MARGIN) * _sides(truth.boxes)
    grown: Boxes = hulls + margin[:, None] * [-1, -1, 1, 1]
    return grown


def attribute(truth: GroundTruth, found: Found) -> Attribution:
    """Give every detection to the object that it is about."""
    owner = match(truth, found)
    owner[owner < 0] = NOTHING
    absorbed = np.zeros(len(owner), bool)
    if not (len(owner) and len(truth.boxes)):
        return Attribution(owner, absorbed)
    places = truth.boxes.copy()
    open_boxes = np.flatnonzero(undrawn(truth))
    free = np.flatnonzero(owner == NOTHING)
    for detection, box in _absorb(truth, found, open_boxes, free):
        owner[detection], absorbed[detection] = box, True
        places[box] = found.boxes[detection]  # where the object really is
    rest = np.flatnonzero(owner == NOTHING)
    iou = iou_matrix(found.boxes[rest], places)
    nearest = iou.argmax(axis=1)
    touches = iou[np.arange(len(rest)), nearest] >= TOUCH_IOU
    owner[rest[touches]] = nearest[touches]
    return Attribution(owner, absorbed)


def _absorb(
    truth: GroundTruth,
    found: Found,
    boxes: npt.NDArray[np.int64],
    free: npt.NDArray[np.int64],
) -> list[tuple[int, int]]:
    """Pairs of a free detection and the undrawn box that it is taken for, one to one.

    Of the pairs that are possible, those with the largest sum of score times nearness.
    """
    from scipy.optimize import linear_sum_assignment

    if not (len(boxes) and len(free)):
        return []
    inside = regions(truth)[boxes]
    guessed, seen = truth.boxes[boxes], found.boxes[free]
    centres, expected = _centres(seen)[:, None], _centres(guessed)[None]
    possible = (
        (found.classes[free][:, None] == truth.classes[boxes][None])
        & (centres >= inside[None, :, :2]).all(axis=2)
        & (centres <= inside[None, :, 2:]).all(axis=2)
        & (iou_matrix(_centred(seen), _centred(guessed)) >= _LIKE_SHAPE)
    )
    away = np.linalg.norm(centres - expected, axis=2) / _sides(guessed)
    value = np.where(possible, found.scores[free][:, None] / (1 + away), 0.0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    return [
        (int(free[row]), int(boxes[column]))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]


def _centres(boxes: Boxes) -> Boxes:
    centres: Boxes = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres


def _centred(boxes: Boxes) -> Boxes:
    """The boxes moved so that their centres are at 0, 0."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([-half, half], axis=1)


def _sides(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Side of a square as large as each box."""
    sides: npt.NDArray[np.float64] = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return np.maximum(sides, 1e-9)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What share of the objects and frames of a validation split is truth.

    Args:
        drawn: Truth boxes, by source and class id.
        visible: All boxes on the measured frames, by source and class id.
        drawn_of_label: The former by class id alone.
        visible_of_label: The latter by class id alone.
        measured: Measured frames with objects, by source.
        frames: All frames with objects, by source.
        share: Measured ones of all frames with objects, in all sources.
    """

    drawn: Counter[tuple[str, int]]
    visible: Counter[tuple[str, int]]
    drawn_of_label: Counter[int]
    visible_of_label: Counter[int]
    measured: Counter[str]
    frames: Counter[str]
    share: float

    @classmethod
    def of(cls, truths: Sequence[GroundTruth]) -> Sampling:
        """Count all pictures of a split, measured or not."""
        drawn, visible = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        drawn_of_label, visible_of_label = Counter[int](), Counter[int]()
        measured, frames = Counter[str](), Counter[str]()
        for truth in truths:
            frames[truth.video] += len(truth.boxes) > 0
            if truth.measured:
                measured[truth.video] += len(truth.boxes) > 0
                of_drawn, of_all = truth.classes[truth.drawn].tolist(), truth.classes.tolist()
                drawn.update((truth.video, k) for k in of_drawn)
                visible.update((truth.video, k) for k in of_all)
                drawn_of_label.update(of_drawn)
                visible_of_label.update(of_all)
        share = measured.total() / max(1, frames.total())
        return cls(drawn, visible, drawn_of_label, visible_of_label, measured, frames, share)

    def share_drawn(self, video: str, class_id: int) -> float:
        """Share of a label's objects that is drawn, in all sources where this one has none."""
        if self.visible[video, class_id]:
            return self.drawn[video, class_id] / self.visible[video, class_id]
        visible = self.visible_of_label[class_id]
        return self.drawn_of_label[class_id] / visible if visible else 1.0

    def share_measured(self, video: str) -> float:
        """Share of the frames with objects that is measured, in all sources where there is none."""
        if self.frames[video]:
            return self.measured[video] / self.frames[video]
        return self.share


def weigh(
    truths: Sequence[GroundTruth], found: Sequence[Found], attributions: Sequence[Attribution]
) -> list[Weights]:
    """How much each detection counts if it is wrong, 0 to 1, for every picture: shape (N,) each.

    0: it belongs to an undrawn object, or the picture is not measured. A false positive of a label
    counts as the label's objects do (the share of them that is drawn), relative to what it belongs
    to: a drawn object, in the share in which that one's label is drawn; a frame without objects, in
    the share in which the others are measured.
    """
    sampling = Sampling.of(truths)
    return [
        _weights(truth, these, attribution, sampling)
        for truth, these, attribution in zip(truths, found, attributions, strict=True)
    ]


def _weights(
    truth: GroundTruth, found: Found, attribution: Attribution, sampling: Sampling
) -> Weights:
    if not truth.measured:
        return np.zeros(len(found.classes))
    share = {
        int(k): sampling.share_drawn(truth.video, int(k))
        for k in np.union1d(found.classes, truth.classes)
    }
    weights = np.array([share[int(k)] for k in found.classes], np.float64)
    if not len(truth.boxes):
        return weights * sampling.share_measured(truth.video)
    left_out = undrawn(truth)
    for detection in np.flatnonzero(attribution.boxes != NOTHING).tolist():
        box = int(attribution.boxes[detection])
        owner_share = share[int(truth.classes[box])]
        weights[detection] = 0.0 if left_out[box] else weights[detection] / max(owner_share, 1e-9)
    return np.minimum(weights, 1.0)
