"""Input size and anchors fitted to the boxes of a dataset."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# A detector trained from little data finds few objects of fewer input pixels per side.
_SMALL_OBJECT_PIXELS = 24.0
_ANCHOR_SIZES = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
# Anchors whose head is trained already may fit the boxes a little worse than new ones.
_TOLERATED_LOSS = 0.1


class AnchorShapes(NamedTuple):
    """The anchors at each cell of a feature pyramid.

    Args:
        num_scales: Anchor sizes per octave.
        aspect_ratios: Width over height.
        anchor_size: Side of the smallest anchor in strides.
    """

    num_scales: int
    aspect_ratios: tuple[float, ...]
    anchor_size: float

    def sides(self, min_level: int, max_level: int) -> Array:
        """(K, 2) height and width of each anchor in input pixels."""
        return np.array(
            [
                (side * ratio**-0.5, side * ratio**0.5)
                for level in range(min_level, max_level + 1)
                for scale in range(self.num_scales)
                for ratio in self.aspect_ratios
                for side in (self.anchor_size * 2**level * 2 ** (scale / self.num_scales),)
            ]
        )


@dataclass(frozen=True)
class Fit:
    """What was fitted, and how well the anchors cover the boxes.

    Args:
        height: Input height in pixels.
        width: Input width in pixels.
        min_level: First pyramid level.
        max_level: Last pyramid level.
        num_scales: Anchor sizes per octave.
        aspect_ratios: Width over height.
        anchor_size: Side of the smallest anchor in strides.
        mean_iou: Mean over the boxes of the best IoU with an anchor at the same centre.
    """

    height: int
    width: int
    min_level: int
    max_level: int
    num_scales: int
    aspect_ratios: tuple[float, ...]
    anchor_size: float
    mean_iou: float


def fit_input_size(
    image_sizes: Array, box_sizes: Array, *, min_pixels: int, max_pixels: int, multiple: int
) -> tuple[int, int]:
    """Input height and width: the dataset's aspect ratio, just large enough for its small objects.

    Args:
        image_sizes: Shape (N, 2), height and width of each image in pixels.
        box_sizes: Shape (M, 2), box height and width as shares of the image (0..1).
        min_pixels: Smallest allowed area.
        max_pixels: Largest allowed area: what the machine can train.
        multiple: Both sides are a multiple of this (2**max_level of the pyramid).
    """
    aspect = float(np.exp(np.median(np.log(image_sizes[:, 1] / image_sizes[:, 0]))))
    share = np.sqrt(np.prod(box_sizes, axis=1))
    small = float(np.quantile(share, 0.1)) if len(share) else 0.1
    area = (_SMALL_OBJECT_PIXELS / max(small, 1e-3)) ** 2
    area = float(np.clip(area, min_pixels, max_pixels))
    # Never larger than the images are.
    area = min(area, float(np.median(np.prod(image_sizes, axis=1))))
    height, width = (area / aspect) ** 0.5, (area * aspect) ** 0.5
    rows, columns = (max(1, round(side / multiple)) * multiple for side in (height, width))
    return rows, columns


def _cluster_ratios(ratios: Array, count: int) -> tuple[float, ...]:
    """Centres of `count` clusters of log aspect ratios (k-means in one dimension)."""
    logs = np.log(ratios)
    centres = np.quantile(logs, (np.arange(count) + 0.5) / count)
    for _ in range(20):
        nearest = np.abs(logs[:, None] - centres).argmin(axis=1)
        centres = np.array(
            [
                logs[nearest == k].mean() if (nearest == k).any() else centres[k]
                for k in range(count)
            ]
        )
    return tuple(round(float(np.exp(c)), 2) for c in np.sort(centres))


def anchor_coverage(box_sizes: Array, anchor_sizes: Array) -> float:
    """Mean over boxes (M, 2) of the best IoU with anchors (K, 2) centred on the box."""
    overlap = np.prod(np.minimum(box_sizes[:, None], anchor_sizes[None]), axis=2)
    union = np.prod(box_sizes, axis=1)[:, None] + np.prod(anchor_sizes, axis=1)[None] - overlap
    return float((overlap / union).max(axis=1).mean())


def fit_anchors(
    box_sizes: Array,
    height: int,
    width: int,
    *,
    min_level: int,
    max_level: int,
    trained: AnchorShapes | None = None,
) -> Fit:
    """The fewest anchors that cover the boxes well, by search over ratios, scales and base size.

    Args:
        box_sizes: Shape (M, 2), box height and width in input pixels.
        height: Input height in pixels.
        width: Input width in pixels.
        min_level: First pyramid level.
        max_level: Last pyramid level.
        trained: Anchors of the weights that training starts from; they are kept where they cover
            the boxes nearly as well, because the head is trained for them.
    """
    sizes = box_sizes[(box_sizes > 1).all(axis=1)]
    if len(sizes) > 5000:
        sizes = sizes[:: len(sizes) // 5000 + 1]
    if not len(sizes):
        shapes = trained or AnchorShapes(2, (0.5, 1.0, 2.0), 3.0)
        return Fit(height, width, min_level, max_level, *shapes, 0.0)
    best: tuple[float, Fit] | None = None
    for count, num_scales in itertools.product((1, 2, 3), (1, 2, 3)):
        ratios = _cluster_ratios(sizes[:, 1] / sizes[:, 0], count)
        for anchor_size in _ANCHOR_SIZES:
            shapes = AnchorShapes(num_scales, ratios, anchor_size)
            coverage = anchor_coverage(sizes, shapes.sides(min_level, max_level))
            # Another anchor per cell must earn its cost.
            score = coverage - 0.01 * count * num_scales
            if best is None or score > best[0]:
                fit = Fit(height, width, min_level, max_level, *shapes, round(coverage, 4))
                best = (score, fit)
    assert best is not None
    if trained:
        coverage = anchor_coverage(sizes, trained.sides(min_level, max_level))
        if coverage >= best[1].mean_iou - _TOLERATED_LOSS:
            return Fit(height, width, min_level, max_level, *trained, round(coverage, 4))
    return best[1]
