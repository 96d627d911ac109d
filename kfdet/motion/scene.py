"""A few hundred small pictures of a video, and what moves in them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(height, width)."""
Point = npt.NDArray[np.float64]
"""x and y in pixels of the picture; 0 is its left or top edge."""

_CHANGED = 18
"""Gray levels by which an object differs from the background."""
_BACKGROUND_PICTURES = 60
_LARGEST_CHANGE = 0.12
"""A camera whose pictures change in more than this share of their pixels does not stand still."""


class Scene:
    """The pictures of neighbouring frames and, where the camera stands still, what moves in them.

    The background is the median of pictures spread over the scene.

    Args:
        frames: Source frames.
        pictures: Their gray pictures, all of one size.
    """

    def __init__(self, frames: list[int], pictures: list[Picture]) -> None:
        self.pictures: Mapping[int, Picture] = dict(zip(frames, pictures, strict=True))
        self.moving: Mapping[int, Picture] | None = None
        """By frame: 255 where the picture differs from the background, else 0."""
        spread = pictures[:: -(-len(pictures) // _BACKGROUND_PICTURES)]
        background = np.median(np.stack(spread), axis=0).astype(np.uint8)
        if np.mean([_changes(each, background) > 0 for each in spread]) < _LARGEST_CHANGE:
            self.moving = {f: _changes(each, background) for f, each in self.pictures.items()}


def _changes(picture: Picture, background: Picture) -> Picture:
    different = cv2.absdiff(picture, background) > _CHANGED
    return np.where(different, 255, 0).astype(np.uint8)


def cut(picture: Picture, centre: Point, size: Point, pixels: tuple[int, int]) -> Picture:
    """The part of a picture around `centre`, `size` wide and high, as `pixels` wide and high.

    Beyond the picture its edge goes on.
    """
    scale = size / pixels
    shift = centre - size / 2 + scale / 2 - 0.5
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(picture, matrix, pixels, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, np.uint8)


def window(picture: Picture, left: int, top: int, width: int, height: int) -> Picture:
    """Whole pixels of a picture; beyond the picture its edge goes on."""
    rows, columns = picture.shape
    inside = picture[
        np.clip(top, 0, rows - 1) : np.clip(top + height, 1, rows),
        np.clip(left, 0, columns - 1) : np.clip(left + width, 1, columns),
    ]
    if inside.shape == (height, width):
        return inside
    above = int(np.clip(-top, 0, height - inside.shape[0]))
    before = int(np.clip(-left, 0, width - inside.shape[1]))
    below, after = height - inside.shape[0] - above, width - inside.shape[1] - before
    grown = cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REPLICATE)
    return np.asarray(grown, np.uint8)
