"""Random views of a training image and its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

_GREY = (124, 116, 104)  # ImageNet's mean: neutral after normalisation
_LUMA = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))


@dataclass(frozen=True)
class Augmentation:
    """How far the views may go.

    Args:
        flip: Mirror half of the images left to right.
        scale: Smallest and largest zoom.
        shift: Largest translation as a share of the image side.
        brightness: Largest change of brightness, of 255.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        min_visible: Boxes of which less than this share stays in view are dropped.
    """

    flip: bool = True
    scale: tuple[float, float] = (0.75, 1.35)
    shift: float = 0.15
    brightness: float = 24.0
    contrast: float = 0.25
    saturation: float = 0.35
    min_visible: float = 0.3


class View(NamedTuple):
    """An augmented image: uint8 (H, W, 3), its boxes (K, 4) and which of the boxes they are."""

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    kept: npt.NDArray[np.int64]


def augment(
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    settings: Augmentation,
    rng: np.random.Generator,
    out: npt.NDArray[np.uint8] | None = None,
) -> View:
    """A random view of `image` (H, W, 3) with `boxes` (K, 4; ymin, xmin, ymax, xmax in pixels).

    The picture is written to `out` where that is given.
    """
    height, width = image.shape[:2]
    flip = settings.flip and rng.random() < 0.5
    low, high = settings.scale
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    shift_y, shift_x = rng.uniform(-settings.shift, settings.shift, 2) * (height, width)
    x_scale = -zoom if flip else zoom
    x_offset = (width - x_scale * width) / 2 + shift_x
    y_offset = (height - zoom * height) / 2 + shift_y
    # warpAffine maps pixel centres, boxes live on pixel edges: half a pixel lies between the two.
    matrix = np.array(
        [
            [x_scale, 0, x_offset + (x_scale - 1) / 2],
            [0, zoom, y_offset + (zoom - 1) / 2],
        ]
    )
    warped = cv2.warpAffine(image, matrix, (width, height), borderValue=_GREY)
    view = cv2.transform(warped, _colour_matrix(settings, rng), dst=out)

    x_edges = boxes[:, [1, 3]] * x_scale + x_offset
    y_edges = boxes[:, [0, 2]] * zoom + y_offset
    x_edges.sort(axis=1)
    area = (x_edges[:, 1] - x_edges[:, 0]) * (y_edges[:, 1] - y_edges[:, 0])
    x_edges = np.clip(x_edges, 0, width)
    y_edges = np.clip(y_edges, 0, height)
    visible = (x_edges[:, 1] - x_edges[:, 0]) * (y_edges[:, 1] - y_edges[:, 0])
    kept = np.flatnonzero(visible > settings.min_visible * area)
    moved = np.stack([y_edges[:, 0], x_edges[:, 0], y_edges[:, 1], x_edges[:, 1]], axis=1)
    return View(view, moved[kept].astype(np.float32), kept)


def _colour_matrix(settings: Augmentation, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """3 x 4 matrix that changes brightness, contrast and saturation in one pass."""
    contrast = 1 + rng.uniform(-settings.contrast, settings.contrast)
    saturation = 1 + rng.uniform(-settings.saturation, settings.saturation)
    brightness = rng.uniform(-settings.brightness, settings.brightness)
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA
    offset = np.full((3, 1), 127.5 * (1 - contrast) + brightness)
    return np.hstack([contrast * mix, offset]).astype(np.float32)
