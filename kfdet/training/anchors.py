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
        num_scales: Anchor sizes per octave.
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
        """Level name to (rows, columns, anchors per cell)."""
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
    def separable(self) -> tuple[tuple[slice, Floats, Floats, Floats], ...]:
        """Each level: the slice of its anchors, and their edges and areas by shape, row and column.

        Top and bottom edges are (2, shapes, rows, 1), left and right edges (2, shapes, 1, columns),
        areas (shapes, 1, 1): the overlap with a box is a product of one of each.
        """
        levels, start = [], 0
        for rows, columns, shapes in self.level_shapes.values():
            where = slice(start, start + rows * columns * shapes)
            sides = np.moveaxis(self.boxes[where].reshape(rows, columns, shapes, 4), (3, 2), (0, 1))
            tops_bottoms = np.ascontiguousarray(sides[[0, 2], :, :, :1])
            lefts_rights = np.ascontiguousarray(sides[[1, 3], :, :1])
            heights, widths = tops_bottoms[1] - tops_bottoms[0], lefts_rights[1] - lefts_rights[0]
            levels.append((where, tops_bottoms, lefts_rights, (heights * widths)[:, :1, :1]))
            start = where.stop
        return tuple(levels)

    @cached_property
    def centre_form(self) -> tuple[Floats, Floats]:
        """Centres (A, 2) and sizes (A, 2), both y before x."""
        sizes: Floats = self.boxes[:, 2:] - self.boxes[:, :2]
        centres: Floats = self.boxes[:, :2] + sizes / np.float32(2)
        return centres, sizes


_NONE = np.zeros(0, np.int64)


class Matches(NamedTuple):
    """Which anchors of which pictures are objects."""

    where: npt.NDArray[np.int64]
    """(P, 2) picture and anchor, ascending."""
    boxes: npt.NDArray[np.int64]
    """(P,) index of the box that each is matched with."""
    ignored: npt.NDArray[np.int64]
    """(I, 2) pictures and anchors between background and object."""


class RetinaTargets(NamedTuple):
    """Targets of a single-shot detector for a batch: every other anchor is background."""

    where: npt.NDArray[np.int64]
    """(P, 2) picture and anchor of what is an object, ascending."""
    classes: Ints
    """(P,) class id 1..N."""
    offsets: Floats
    """(P, 4) ty, tx, th, tw."""


class RpnTargets(NamedTuple):
    """Targets of a region proposal network for one image."""

    scores: Ints
    """(A,) 1 object, 0 background, -1 not sampled."""
    offsets: Floats
    """(A, 4) ty, tx, th, tw; zero where unmatched."""


def overlaps(grid: AnchorGrid, boxes: Floats) -> Floats:
    """IoU (G, A) of `boxes` (G, 4; ymin, xmin, ymax, xmax in input pixels) with all anchors."""
    iou = np.empty((len(boxes), len(grid.boxes)), np.float32)
    top, left, bottom, right = (side[:, None, None, None] for side in boxes.T)
    area = (bottom - top) * (right - left)
    for where, tops_bottoms, lefts_rights, areas in grid.separable:
        high = np.minimum(tops_bottoms[1], bottom) - np.maximum(tops_bottoms[0], top)
        wide = np.minimum(lefts_rights[1], right) - np.maximum(lefts_rights[0], left)
        common = np.maximum(high, 0) * np.maximum(wide, 0)
        union = (areas + area) - common
        _, shapes, rows, columns = common.shape
        level = iou[:, where].reshape(-1, rows, columns, shapes)
        np.divide(common, union, out=np.moveaxis(level, 3, 1))
    return iou


def anchors_within(
    grid: AnchorGrid, regions: Floats, pictures: npt.NDArray[np.int64], share: float = 0.5
) -> npt.NDArray[np.int64]:
    """Pictures and anchors (I, 2), ascending, of which at least `share` lies in one region.

    Args:
        grid: The anchors.
        regions: (R, 4) ymin, xmin, ymax, xmax in input pixels.
        pictures: (R,) which picture of the batch each belongs to.
        share: COCO's rule for detections on crowds is one half.
    """
    count = len(grid.boxes)
    places = []
    for (top, left, bottom, right), picture in zip(
        regions.tolist(), pictures.tolist(), strict=True
    ):
        for where, tops_bottoms, lefts_rights, areas in grid.separable:
            high = np.minimum(tops_bottoms[1], bottom) - np.maximum(tops_bottoms[0], top)
            wide = np.minimum(lefts_rights[1], right) - np.maximum(lefts_rights[0], left)
            inside = np.maximum(high, 0) * np.maximum(wide, 0) >= share * areas
            found = np.flatnonzero(np.moveaxis(inside, 0, -1))
            places.append(picture * count + where.start + found)
    unique = np.unique(np.concatenate([np.zeros(0, np.int64), *places]))
    return np.stack(np.divmod(unique, count), axis=1)


def _match(
    grid: AnchorGrid,
    boxes: Floats,
    pictures: npt.NDArray[np.int64],
    matched: float,
    unmatched: float,
) -> Matches:
    """An anchor is an object from IoU `matched`, and the best one of each box always is."""
    iou = overlaps(grid, boxes)
    count = iou.shape[1]
    box, anchor = np.divmod(np.flatnonzero(iou >= min(unmatched, matched)), count)
    value = iou[box, anchor]
    best = iou.argmax(axis=1)
    reached = np.flatnonzero(iou[np.arange(len(boxes)), best] > 0)
    near = value >= matched
    ignored = pictures[box[~near]] * count + anchor[~near]
    # Candidates of an anchor: the boxes whose best one it is, then by IoU, then by position.
    box = np.concatenate([reached, box[near]])
    place = pictures[box] * count + np.concatenate([best[reached], anchor[near]])
    rank = np.concatenate([np.full(len(reached), -2.0), -value[near]])
    order = np.lexsort((box, rank, place))
    place, first = np.unique(place[order], return_index=True)
    ignored = np.setdiff1d(ignored, place)
    return Matches(
        np.stack(np.divmod(place, count), axis=1),
        box[order[first]],
        np.stack(np.divmod(ignored, count), axis=1),
    )


def _offsets(grid: AnchorGrid, boxes: Floats, matches: Matches) -> Floats:
    centres, sizes = grid.centre_form
    anchors = matches.where[:, 1]
    target = boxes[matches.boxes]
    size = np.maximum(target[:, 2:] - target[:, :2], 1e-6)
    centre = target[:, :2] + size / 2
    own = sizes[anchors]
    return np.concatenate([(centre - centres[anchors]) / own, np.log(size / own)], axis=1)


def retina_targets(
    grid: AnchorGrid, boxes: Floats, classes: Ints, pictures: npt.NDArray[np.int64]
) -> RetinaTargets:
    """Match the anchors of a batch with `boxes` (G, 4; ymin, xmin, ymax, xmax in input pixels).

    An anchor is an object from IoU 0.5, background below; the best anchor of each box always is its
    object (Model Garden's defaults, after Lin et al., Focal Loss, 2017, section 4).

    Args:
        grid: The anchors.
        boxes: All boxes of the batch.
        classes: (G,) their class ids, from 1.
        pictures: (G,) which picture of the batch each belongs to.
    """
    matches = _match(grid, boxes, pictures, 0.5, 0.5)
    return RetinaTargets(matches.where, classes[matches.boxes], _offsets(grid, boxes, matches))


def rpn_targets(
    grid: AnchorGrid,
    boxes: Floats,
    rng: np.random.Generator,
    *,
    matched: float = 0.7,
    unmatched: float = 0.3,
    batch: int = 256,
    positive_share: float = 0.5,
    ignored: npt.NDArray[np.int64] = _NONE,
) -> RpnTargets:
    """Sample `batch` anchors of one image, at most `positive_share` of them objects.

    Thresholds and sampling as in Faster R-CNN (Ren et al., 2015, section 3.1.2). Of the anchors
    `ignored` none is background.
    """
    matches = _match(grid, boxes, np.zeros(len(boxes), np.int64), matched, unmatched)
    anchors = matches.where[:, 1]
    free = np.ones(len(grid.boxes), bool)
    free[anchors] = free[matches.ignored[:, 1]] = free[ignored] = False
    background = np.flatnonzero(free)
    chosen = np.arange(len(anchors))
    wanted = int(batch * positive_share)
    if len(chosen) > wanted:
        chosen = rng.choice(chosen, wanted, replace=False)
    rest = min(batch - len(chosen), len(background))
    scores = np.full(len(grid.boxes), -1, np.int32)
    scores[rng.choice(background, rest, replace=False)] = 0
    scores[anchors[chosen]] = 1
    offsets = np.zeros((len(grid.boxes), 4), np.float32)
    offsets[anchors[chosen]] = _offsets(grid, boxes, matches)[chosen]
    return RpnTargets(scores, offsets)
