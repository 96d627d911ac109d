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
_Place = tuple[int, int, int, int]  # left, top, right, bottom of a text

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
    """A colour for each of a model's labels by its position; repeats after the palette's end.

    Pictures, charts and TensorBoard all use it, so that a label looks the same everywhere.
    """
    return {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}


def colors_of(
    labels: Sequence[str], colors: Mapping[str, Color] | Sequence[Color] | None
) -> Sequence[Color]:
    """A colour for each of N labels: its own of `colors`, or else one that its text decides.

    Args:
        labels: N labels.
        colors: By label, or N colours, which are returned as they are.
    """
    if colors is not None and not isinstance(colors, Mapping):
        return colors
    own = colors or {}
    return [
        own.get(label) or PALETTE[zlib.crc32(label.encode()) % len(PALETTE)] for label in labels
    ]


def draw_boxes(
    image: Picture,
    boxes: npt.ArrayLike,
    labels: Sequence[str],
    scores: Sequence[float] | npt.NDArray[np.floating] | None = None,
    colors: Mapping[str, Color] | Sequence[Color] | None = None,
    dashed: npt.ArrayLike = (),
) -> Picture:
    """A copy of `image` with labelled boxes on it; lines and text scale with the picture.

    Later boxes are drawn over earlier ones. A text that would cover another one moves to the next
    free corner of its own box.

    Args:
        image: The picture; left as it is.
        boxes: Shape (N, 4): xmin, ymin, xmax, ymax in pixels of `image`.
        labels: A text for each box; "" draws a bare box.
        scores: 0..1 for each box, shown in per cent; higher ones are drawn on top.
        colors: By label (see `palette`) or one for each box; otherwise the label's text decides.
        dashed: Which boxes have broken lines, shape (N,) of bool; empty: none.

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
    chosen = colors_of(labels, colors)
    broken = np.resize(np.asarray(dashed, bool), len(corners)) if np.size(dashed) else order < 0
    for i in order:
        # Whole pixels keep level lines sharp; the box ends before its right and bottom edge.
        start, end = np.round(corners[i].reshape(2, 2) - [[0], [1]]).astype(int).tolist()
        for wider, color in ((2, (0, 0, 0)), (0, chosen[i])):
            if broken[i]:
                _dashed_rectangle(canvas, start, end, color, line + wider, 4 * line)
            else:
                cv2.rectangle(canvas, start, end, color, line + wider)
    size = max(11, round(0.036 * min(height, width)))
    inks: dict[int, npt.NDArray[np.float32]] = {}
    places: dict[int, _Place] = {}
    for i in order[::-1].tolist():
        text = labels[i] if scores is None else f"{labels[i]} {100 * float(scores[i]):.0f}%".strip()
        if text:
            inks[i] = _text(text, size)[:height, :width]
            places[i] = _free_place(corners[i], inks[i].shape, (height, width), line, places)
    for i in reversed(places):
        _put_label(canvas, places[i], inks[i], chosen[i])
    return canvas


def _dashed_rectangle(
    canvas: Picture, start: Sequence[int], end: Sequence[int], color: Color, width: int, dash: int
) -> None:
    """A rectangle of dashes as long as the gaps between them, in pixels."""
    (left, top), (right, bottom) = start, end
    for x in range(left, right, 2 * dash):
        for y in (top, bottom):
            cv2.line(canvas, (x, y), (min(x + dash, right), y), color, width)
    for y in range(top, bottom, 2 * dash):
        for x in (left, right):
            cv2.line(canvas, (x, y), (x, min(y + dash, bottom)), color, width)


def _free_place(
    box: npt.NDArray[np.float64],
    size: tuple[int, ...],
    picture: tuple[int, int],
    line: int,
    taken: Mapping[int, _Place],
) -> _Place:
    """Where a text goes: above the box, inside it at the top, below it, inside it at the bottom.

    The first of these that lies in the picture and is free; the first in the picture if none is.

    Args:
        box: xmin, ymin, xmax, ymax in pixels.
        size: Height and width of the text.
        picture: Height and width of the picture.
        line: Width of the box's line.
        taken: Where other texts are.
    """
    (tall, wide), (height, width) = size, picture
    left = int(np.clip(round(box[0]) - (line + 1) // 2, 0, width - wide))
    upper, lower = round(box[1]), round(box[3])
    tops = [t for t in (upper - tall, upper, lower, lower - tall) if 0 <= t <= height - tall]
    tops = tops or [int(np.clip(upper, 0, height - tall))]
    places = [(left, top, left + wide, top + tall) for top in tops]
    free = (p for p in places if not any(_overlap(p, other) for other in taken.values()))
    return next(free, places[0])


def _overlap(a: _Place, b: _Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _put_label(canvas: Picture, place: _Place, ink: npt.NDArray[np.float32], color: Color) -> None:
    """Text on a filled ground."""
    left, top, right, bottom = place
    dark = np.dot(color, (0.299, 0.587, 0.114)) > 140  # ITU-R BT.601 luma
    letters = np.array((18, 18, 18) if dark else (255, 255, 255), np.float32)
    alpha = ink[..., None]
    ground = np.array(color, np.float32) * (1 - alpha) + letters * alpha
    canvas[top:bottom, left:right] = np.round(ground)


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
