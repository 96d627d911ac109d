"""Random views of a training image and its boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from kfdet.parameters import TrainingSettings

_GREY = (124, 116, 104)  # ImageNet's mean: neutral after normalisation
_MOST_CHANGE = 0.9
"""Of contrast and saturation: at 1 a picture may lose all of it."""
_LUMA = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))


@dataclass(frozen=True)
class Augmentation:
    """Limits of the random views.

    Args:
        flip: Mirror half of the images left to right.
        flip_vertically: Mirror half of the images top to bottom.
        scale: Smallest and largest zoom.
        shift: Largest translation as a share of the image side.
        brightness: Largest change of brightness, of 255.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        min_visible: Boxes of which less than this share stays in view are dropped.
        jitter: Largest random move of each edge of a box, as a share of its width or height:
            several slightly different boxes for an object, as people would draw them.
    """

    flip: bool = True
    flip_vertically: bool = False
    scale: tuple[float, float] = (0.75, 1.35)
    shift: float = 0.15
    brightness: float = 24.0
    contrast: float = 0.25
    saturation: float = 0.35
    min_visible: float = 0.3
    jitter: float = 0.0

    @classmethod
    def of(cls, settings: TrainingSettings) -> Augmentation:
        """The augmentation that a training's settings ask for."""
        usual = cls()
        return replace(
            usual,
            flip=settings.mirror in ("horizontal", "both"),
            flip_vertically=settings.mirror in ("vertical", "both"),
            scale=(settings.min_zoom, settings.max_zoom),
            brightness=usual.brightness * settings.colour,
            contrast=min(usual.contrast * settings.colour, _MOST_CHANGE),
            saturation=min(usual.saturation * settings.colour, _MOST_CHANGE),
            jitter=settings.jitter_boxes,
        )


class Views(NamedTuple):
    """Random views of N pictures of one size; axis 0 is y, axis 1 is x.

    Zoom and shift are on whole pixels: a view is then a crop and a resize, twice as fast as a warp.
    """

    size: tuple[int, int]
    """Height and width of the pictures and of the views."""
    seen: npt.NDArray[np.int64]
    """(N, 2, 2) an axis's first pixel that is seen, and the end."""
    filled: npt.NDArray[np.int64]
    """(N, 2, 2) where they go in the view; the rest is grey."""
    flip: npt.NDArray[np.bool_]
    """(N, 2) mirrored along an axis in the end."""
    colours: npt.NDArray[np.float32]
    """(N, 3, 4) brightness, contrast and saturation as one matrix over RGB and 1."""


def random_views(
    settings: Augmentation, size: tuple[int, int], count: int, rng: np.random.Generator
) -> Views:
    """Draw `count` views of pictures of `size` (height, width)."""
    draws = rng.random((count, 7))
    low, high = np.log(settings.scale)
    zoom = np.exp(low + (high - low) * draws[:, :1])
    shift = settings.shift * (2 * draws[:, 1:3] - 1)
    offset = np.array(size) * ((1 - zoom) / 2 + shift)
    seen = np.stack([-offset, np.array(size) - offset], axis=-1) / zoom[..., None]
    seen = np.clip(seen, 0, np.array(size)[:, None]).round().astype(np.int64)
    filled = seen * zoom[..., None] + offset[..., None]
    # Where the picture goes on beyond the view, rounding must not leave a grey edge.
    filled[..., 0][seen[..., 0] > 0] = 0
    whole = np.broadcast_to(size, shift.shape)
    beyond = seen[..., 1] < whole
    filled[..., 1][beyond] = whole[beyond]
    filled = np.clip(filled, 0, whole[..., None]).round().astype(np.int64)
    contrast, saturation, brightness = (
        1 + settings.contrast * (2 * draws[:, 3] - 1),
        1 + settings.saturation * (2 * draws[:, 4] - 1),
        settings.brightness * (2 * draws[:, 5] - 1),
    )
    colours = np.empty((count, 3, 4), np.float32)
    kept = saturation[:, None, None]
    colours[..., :3] = contrast[:, None, None] * (kept * np.eye(3) + (1 - kept) * _LUMA)
    colours[..., 3] = (127.5 * (1 - contrast) + brightness)[:, None]
    flip = np.zeros((count, 2), bool)
    flip[:, 1] = (draws[:, 6] < 0.5) & settings.flip
    if settings.flip_vertically:
        flip[:, 0] = rng.random(count) < 0.5
    return Views(size, seen, filled, flip, colours)


def render(
    image: npt.NDArray[np.uint8], views: Views, index: int, out: npt.NDArray[np.uint8]
) -> None:
    """Write view `index` of `image` to `out`, both uint8 (height, width, 3)."""
    (height, width), seen, filled = views.size, views.seen[index], views.filled[index]
    part = image[seen[0, 0] : seen[0, 1], seen[1, 0] : seen[1, 1]]
    part = cv2.transform(part, views.colours[index])
    cv2.copyMakeBorder(
        cv2.resize(part, (filled[1, 1] - filled[1, 0], filled[0, 1] - filled[0, 0])),
        filled[0, 0],
        height - filled[0, 1],
        filled[1, 0],
        width - filled[1, 1],
        cv2.BORDER_CONSTANT,
        dst=out,
        value=_GREY,
    )
    for axis in np.flatnonzero(views.flip[index]):
        cv2.flip(out, int(axis), dst=out)


def move_boxes(
    boxes: npt.NDArray[np.float32],
    pictures: npt.NDArray[np.int64],
    views: Views,
    min_visible: npt.ArrayLike,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Boxes (B, 4; ymin, xmin, ymax, xmax in pixels) of `pictures` (B,), as the views show them.

    Returns:
        The boxes of which more than `min_visible` (one share, or one per box) stays in view,
        clipped, and which ones they are.
    """
    ends = np.diff(np.stack([views.seen, views.filled]), axis=-1)[..., 0]
    scale = (ends[1] / ends[0])[pictures]
    offset = views.filled[pictures, :, 0] - views.seen[pictures, :, 0] * scale
    edges = boxes.reshape(-1, 2, 2) * scale[:, None] + offset[:, None]  # corner, axis
    for axis, length in enumerate(views.size):
        flip = views.flip[pictures, axis]
        edges[flip, :, axis] = length - edges[flip, ::-1, axis]
    clipped = np.clip(edges, 0, views.size)
    area, visible = ((corners[:, 1] - corners[:, 0]).prod(axis=1) for corners in (edges, clipped))
    kept = np.flatnonzero(visible > min_visible * area)
    return clipped.reshape(-1, 4)[kept].astype(np.float32), kept


def jittered(
    boxes: npt.NDArray[np.float32], jitter: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Boxes (B, 4) with each edge moved at random by up to `jitter` of the box's height or width.

    `jitter` must be less than half.
    """
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved: npt.NDArray[np.float32] = boxes + (
        size * rng.uniform(-jitter, jitter, boxes.shape)
    ).astype(np.float32)
    return moved
