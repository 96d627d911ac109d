"""Draws boxes with their labels on a picture: for reports, TensorBoard and detected videos."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""
Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""

# Bright and far apart in hue, so that neighbours in the list differ on any background.
PALETTE: tuple[Color, ...] = (
    (255, 99, 72),
    (46, 196, 255),
    (123, 237, 85),
    (255, 200, 40),
    (200, 110, 255),
    (0, 220, 180),
    (255, 120, 190),
    (110, 140, 255),
    (255, 150, 60),
    (190, 225, 50),
    (255, 80, 130),
    (150, 230, 235),
)


def palette(labels: Sequence[str]) -> dict[str, Color]:
    """A colour for each label by its position; repeats after the palette's end."""
    return {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}


def draw_boxes(
    image: Picture,
    boxes: npt.ArrayLike,
    labels: Sequence[str],
    scores: Sequence[float] | npt.NDArray[np.floating] | None = None,
    colors: Mapping[str, Color] | Sequence[Color] | None = None,
) -> Picture:
    """A copy of `image` with labelled boxes on it; lines and text scale with the picture.

    Args:
        image: The picture; left as it is.
        boxes: Shape (N, 4): xmin, ymin, xmax, ymax in pixels of `image`.
        labels: A text for each box; "" draws a bare box.
        scores: 0..1 for each box, shown in per cent; higher ones are drawn on top.
        colors: By label (see `palette`) or one for each box; otherwise the label's text decides.

    Example:
        >>> picture = np.zeros((360, 640, 3), np.uint8)
        >>> draw_boxes(picture, [[20, 40, 200, 300]], ["mug"], [0.93]).shape
        (360, 640, 3)
    """
    canvas: Picture = np.ascontiguousarray(image).copy()
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    height, width = canvas.shape[:2]
    line = max(1, round(min(height, width) / 200))
    order = np.arange(len(corners)) if scores is None else np.argsort(scores, kind="stable")
    chosen = [_color(i, labels[i], colors) for i in range(len(corners))]
    for i in order:
        # Whole pixels keep level lines sharp; the box ends before its right and bottom edge.
        start, end = np.round(corners[i].reshape(2, 2) - [[0], [1]]).astype(int).tolist()
        for wider, color in ((2, (0, 0, 0)), (0, chosen[i])):
            cv2.rectangle(canvas, start, end, color, line + wider)
    for i in order:
        text = labels[i] if scores is None else f"{labels[i]} {100 * float(scores[i]):.0f}%".strip()
        if text:
            _put_label(canvas, corners[i], text, chosen[i], line)
    return canvas


def _color(index: int, label: str, colors: Mapping[str, Color] | Sequence[Color] | None) -> Color:
    if isinstance(colors, Mapping):
        return colors.get(label) or PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]
    if colors is not None:
        return colors[index]
    return PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]


def _put_label(
    canvas: Picture, box: npt.NDArray[np.float64], text: str, color: Color, line: int
) -> None:
    """Text on a filled ground: above the box, or inside it where there is no room above."""
    height, width = canvas.shape[:2]
    ink = _text(text, max(11, round(0.036 * min(height, width))))
    tall, wide = min(ink.shape[0], height), min(ink.shape[1], width)
    left = int(np.clip(round(box[0]) - (line + 1) // 2, 0, width - wide))
    top = round(box[1]) - tall
    if top < 0:
        top = round(box[1])
    top = int(np.clip(top, 0, height - tall))
    window = canvas[top : top + tall, left : left + wide]
    dark = np.dot(color, (0.299, 0.587, 0.114)) > 140  # ITU-R BT.601 luma
    letters = np.array((18, 18, 18) if dark else (255, 255, 255), np.float32)
    alpha = ink[:tall, :wide, None]
    window[:] = np.round(np.array(color, np.float32) * (1 - alpha) + letters * alpha)


@lru_cache(maxsize=512)
def _text(text: str, size: int) -> npt.NDArray[np.float32]:
    """Letters with a margin: coverage 0..1, shape (height, width)."""
    font = ImageFont.load_default(size)
    pad_x, pad_y = max(2, size // 4), max(1, size // 6)
    left, top, _, bottom = font.getbbox("Ag|")
    tall, wide = int(bottom - top), int(np.ceil(font.getlength(text)))
    tile = Image.new("L", (wide + 2 * pad_x, tall + 2 * pad_y))
    ImageDraw.Draw(tile).text((pad_x - left, pad_y - top), text, fill=255, font=font)
    return np.asarray(tile, np.float32) / np.float32(255)
