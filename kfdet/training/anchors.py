"""Anchor boxes and the targets that a detector is trained towards.

Same anchors, matching and box coding as Model Garden's `official/vision/ops/anchor.py` (a test
holds the two together); NumPy, so that labelling a batch costs a fraction of a training step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of a feature pyramid over an input of `height` x `width` pixels.

    Args:
        height: Input height, a multiple of 2**max_level.
        width: Input width, a multiple of 2**max_level.
        min_level: First pyramid level (stride 2**level).
        max_level: Last pyramid level.
        num_scales: Anchor sizes an octave.
        aspect_ratios: Width over height.
        anchor_size: Side of the smallest anchor in strides.
    """

    height: int
    width: int
    min_level: int
    max_level: int
    num_scales: int
    aspect_ratios: tuple[float, ...]
    anchor_size: float

    @classmethod
    def of_model(cls, model: Any) -> AnchorGrid:
        """The grid of a Model Garden model configuration."""
        return cls(
            model.input_size[0],
            model.input_size[1],
            model.min_level,
            model.max_level,
            model.anchor.num_scales,
            tuple(model.anchor.aspect_ratios),
            model.anchor.anchor_size,
        )

    @property
    def per_location(self) -> int:
        """Anchors at each cell of a feature map."""
        return self.num_scales * len(self.aspect_ratios)

    @cached_property
    def level_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Level name to (rows, columns, anchors a cell)."""
        return {
            str(level): (self.height >> level, self.width >> level, self.per_location)
            for level in range(self.min_level, self.max_level + 1)
        }

    @cached_property
    def boxes(self) -> Floats:
        """All anchors, shape (A, 4): ymin, xmin, ymax, xmax in input pixels, level by level."""
        levels = []
        for level in range(self.min_level, self.max_level + 1):
            stride = 2**level
            sizes = np.array(
                [
                    (
                        self.anchor_size * stride * 2 ** (scale / self.num_scales) * ratio**-0.5,
                        self.anchor_size * stride * 2 ** (scale / self.num_scales) * ratio**0.5,
                    )
                    for scale in range(self.num_scales)
                    for ratio in self.aspect_ratios
                ]
            )
            centres = np.stack(
                np.meshgrid(
                    np.arange(stride / 2, self.height, stride),
                    np.arange(stride / 2, self.width, stride),
                    indexing="ij",
                ),
                axis=-1,
            )
            corner = centres[:, :, None, :] - sizes / 2
            levels.append(np.concatenate([corner, corner + sizes], axis=-1).reshape(-1, 4))
        return np.concatenate(levels).astype(np.float32)

    @cached_property
    def columns(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """ymin, xmin, ymax, xmax and area of all anchors, each (A,) and contiguous."""
        top, left, bottom, right = (np.ascontiguousarray(side) for side in self.boxes.T)
        return top, left, bottom, right, (bottom - top) * (right - left)

    @cached_property
    def centre_form(self) -> tuple[Floats, Floats]:
        """Centres (A, 2) and sizes (A, 2), both y before x."""
        sizes: Floats = self.boxes[:, 2:] - self.boxes[:, :2]
        centres: Floats = self.boxes[:, :2] + sizes / np.float32(2)
        return centres, sizes


class Matches(NamedTuple):
    """What each anchor of one image was matched to."""

    iou: Floats
    """(A,) best IoU with any box."""
    box: npt.NDArray[np.int64]
    """(A,) index of that box."""
    forced: npt.NDArray[np.int64]
    """Anchors that are the best one of some box, whatever their IoU."""


class RetinaTargets(NamedTuple):
    """Targets of a single-shot detector for one image."""

    classes: Ints
    """(A,) class id 1..N, -1 where the anchor is background or ignored."""
    offsets: Floats
    """(A, 4) ty, tx, th, tw; zero where unmatched."""
    class_weights: Floats
    """(A,) 1, or 0 where the anchor is ignored."""
    box_weights: Floats
    """(A,) 1 where the anchor is matched."""


class RpnTargets(NamedTuple):
    """Targets of a region proposal network for one image."""

    scores: Ints
    """(A,) 1 object, 0 background, -1 not sampled."""
    offsets: Floats
    """(A, 4) ty, tx, th, tw; zero where unmatched."""


def _match(grid: AnchorGrid, boxes: Floats) -> Matches:
    tops, lefts, bottoms, rights, areas = grid.columns
    count = len(areas)
    iou = np.empty((len(boxes), count), np.float32)
    # A loop over the few boxes, in place: each array stays in the cache.
    high, wide = np.empty(count, np.float32), np.empty(count, np.float32)
    scratch = np.empty(count, np.float32)
    for row, (top, left, bottom, right) in enumerate(boxes):
        np.minimum(bottoms, bottom, out=high)
        np.subtract(high, np.maximum(tops, top, out=scratch), out=high)
        np.minimum(rights, right, out=wide)
        np.subtract(wide, np.maximum(lefts, left, out=scratch), out=wide)
        np.multiply(np.maximum(high, 0, out=high), np.maximum(wide, 0, out=wide), out=high)
        np.subtract(areas, high, out=wide)
        wide += (bottom - top) * (right - left)
        np.divide(high, wide, out=iou[row])
    box = iou.argmax(axis=0)
    best_anchor = iou.argmax(axis=1)
    reachable = iou[np.arange(len(boxes)), best_anchor] > 0
    best = iou.max(axis=0)
    box[best_anchor[reachable]] = np.flatnonzero(reachable)
    return Matches(best, box, best_anchor[reachable])


def _offsets(
    grid: AnchorGrid, boxes: Floats, matched: npt.NDArray[np.int64], box: npt.NDArray[np.int64]
) -> Floats:
    centres, sizes = grid.centre_form
    offsets = np.zeros((len(grid.boxes), 4), np.float32)
    target = boxes[box[matched]]
    size = np.maximum(target[:, 2:] - target[:, :2], 1e-6)
    centre = target[:, :2] + size / 2
    offsets[matched, :2] = (centre - centres[matched]) / sizes[matched]
    offsets[matched, 2:] = np.log(size / sizes[matched])
    return offsets


def retina_targets(
    grid: AnchorGrid, boxes: Floats, classes: Ints, matched: float = 0.5, unmatched: float = 0.5
) -> RetinaTargets:
    """Match every anchor with one of `boxes` (G, 4; ymin, xmin, ymax, xmax in input pixels).

    An anchor is an object from IoU `matched`, background below `unmatched`, ignored between; the
    best anchor of each box always is its object (Lin et al., Focal Loss, 2017, section 4).
    """
    count = len(grid.boxes)
    class_targets = np.full(count, -1, np.int32)
    class_weights = np.ones(count, np.float32)
    box_weights = np.zeros(count, np.float32)
    if not len(boxes):
        return RetinaTargets(
            class_targets, np.zeros((count, 4), np.float32), class_weights, box_weights
        )
    matches = _match(grid, boxes)
    positive = matches.iou >= matched
    positive[matches.forced] = True
    class_weights[(matches.iou >= unmatched) & ~positive] = 0
    index = np.flatnonzero(positive)
    class_targets[index] = classes[matches.box[index]]
    box_weights[index] = 1
    return RetinaTargets(
        class_targets, _offsets(grid, boxes, index, matches.box), class_weights, box_weights
    )


def rpn_targets(
    grid: AnchorGrid,
    boxes: Floats,
    rng: np.random.Generator,
    *,
    matched: float = 0.7,
    unmatched: float = 0.3,
    batch: int = 256,
    positive_share: float = 0.5,
) -> RpnTargets:
    """Sample `batch` anchors of one image, at most `positive_share` of them objects.

    Thresholds and sampling as in Faster R-CNN (Ren et al., 2015, section 3.1.2).
    """
    scores = np.full(len(grid.boxes), -1, np.int32)
    if len(boxes):
        matches = _match(grid, boxes)
        positive = matches.iou >= matched
        positive[matches.forced] = True
        objects = np.flatnonzero(positive)
        background = np.flatnonzero((matches.iou < unmatched) & ~positive)
    else:
        objects = np.empty(0, np.int64)
        background = np.arange(len(grid.boxes))
    wanted = int(batch * positive_share)
    if len(objects) > wanted:
        objects = rng.choice(objects, wanted, replace=False)
    rest = min(batch - len(objects), len(background))
    scores[rng.choice(background, rest, replace=False)] = 0
    scores[objects] = 1
    offsets = (
        _offsets(grid, boxes, objects, matches.box)
        if len(boxes)
        else np.zeros((len(grid.boxes), 4), np.float32)
    )
    return RpnTargets(scores, offsets)
