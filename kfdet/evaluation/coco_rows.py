"""Boxes of all measured pictures as columns, in the order in which COCOeval counts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes
from kfdet.detection import Detections
from kfdet.evaluation.attribution import Weights
from kfdet.evaluation.average_precision import Floats
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import class_ids

# A box of this area lies outside every area range of COCOeval, so that the box is ignored and
# still compared by plain IoU. (Its `ignore` field is overwritten by `iscrowd`, which would compare
# by the share of the detection that is covered.)
_IGNORED_AREA = -1.0


class Rows(NamedTuple):
    """True boxes or detections; detections by falling score.

    Args:
        images: (N,) position of the picture.
        classes: (N,) class ids.
        boxes: (N, 4) left, top, width and height in source pixels.
        areas: (N,) as they decide whether a box is small, medium, large or ignored.
        crowd: (N,) whether a box stands for a group; False for detections.
        scores: (N,) of detections; 1 for true boxes.
        weights: (N,) what a detection counts if it is wrong; 1 for true boxes.
    """

    images: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    boxes: Boxes
    areas: Floats
    crowd: npt.NDArray[np.bool_]
    scores: Floats
    weights: Floats

    def where(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Rows:
        """Some rows, by a mask (N,) or by their positions."""
        return Rows._make(column[rows] for column in self)


def drawn_rows(truths: Sequence[GroundTruth], images: Sequence[int]) -> Rows:
    """The drawn boxes of some pictures; crowds are among them, however they came about.

    Args:
        truths: All pictures.
        images: Positions of the pictures.
    """
    pairs = [(truths[i], truths[i].drawn | truths[i].crowd) for i in images]
    corners = _joined([truth.boxes[kept] for truth, kept in pairs], (0, 4), np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    difficult = _joined([truth.difficult[kept] for truth, kept in pairs], 0, np.bool_)
    return Rows(
        images=np.repeat(np.array(images, np.int64), [np.count_nonzero(kept) for _, kept in pairs]),
        classes=_joined([truth.classes[kept] for truth, kept in pairs], 0, np.int64),
        boxes=np.hstack([corners[:, :2], sizes]),
        areas=np.where(difficult, _IGNORED_AREA, sizes.prod(axis=1)),
        crowd=_joined([truth.crowd[kept] for truth, kept in pairs], 0, np.bool_),
        scores=np.ones(len(corners)),
        weights=np.ones(len(corners)),
    )


def found_rows(
    detections: Sequence[Detections],
    weights: Sequence[Weights],
    labels: Sequence[str],
    images: Sequence[int],
) -> Rows:
    """The detections on some pictures, without those of weight 0.

    Args:
        detections: Of all pictures.
        weights: What each of them counts if it is wrong.
        labels: Label names; class id = position + 1.
        images: Positions of the pictures, in the order that decides between equal scores.
    """
    pairs = [(detections[i], weights[i] > 0) for i in images]
    corners = _joined([found.boxes[kept] for found, kept in pairs], (0, 4), np.float64)
    # A box turned inside out has area 0: a negative one would lie outside COCO's area ranges and
    # go unpunished.
    sizes = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    rows = Rows(
        images=np.repeat(np.array(images, np.int64), [np.count_nonzero(kept) for _, kept in pairs]),
        classes=_joined([class_ids(found, labels)[kept] for found, kept in pairs], 0, np.int64),
        boxes=np.hstack([corners[:, :2], sizes]),
        areas=sizes.prod(axis=1),
        crowd=np.zeros(len(corners), bool),
        scores=_joined([found.scores[kept] for found, kept in pairs], 0, np.float64),
        weights=_joined([weights[i][weights[i] > 0] for i in images], 0, np.float64),
    )
    return rows.where(np.argsort(-rows.scores, kind="stable"))  # as COCOeval.accumulate sorts


def rows_by_image(images: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int64]]:
    """The positions of the rows on each picture, in their order."""
    order = np.argsort(images, kind="stable")
    names, starts = np.unique(images[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    return {
        name: order[start:end]
        for name, start, end in zip(names.tolist(), starts.tolist(), ends, strict=False)
    }


def _joined(
    parts: Sequence[npt.NDArray[Any]], empty: int | tuple[int, int], kind: type[np.generic]
) -> npt.NDArray[Any]:
    """All parts in one array, which is `empty` in shape where there are none."""
    return np.concatenate([np.empty(empty, kind), *parts])
