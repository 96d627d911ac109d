"""Frames with truth and detections drawn on them, at a size that a page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from kfdet.boxes.tables import Boxes
from kfdet.detection import Detections
from kfdet.detection.drawing import Color, Picture, draw_boxes, palette
from kfdet.evaluation.error_analysis import FalsePositive
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.report.selection import Selection

TRUTH_COLOR: Color = (255, 255, 255)
"""Boxes that a person drew are white; detections have the colour of their label."""

INTERPOLATED_COLOR: Color = (170, 170, 170)
"""Interpolated boxes are grey and dashed: they are no truth."""

_CELL = (400, 3)  # width of a contact sheet's picture, columns
_GAP = 6


def draw_detections(
    image: Picture,
    truth: GroundTruth,
    found: Detections,
    labels: Sequence[str],
    threshold: float,
    *,
    with_truth: bool = False,
    error: FalsePositive | None = None,
) -> Picture:
    """Draw the detections from `threshold` up, the surest on top.

    Args:
        image: The picture to draw a copy of.
        truth: The dataset's boxes; `stored` and `window` are those of `image` (see `with_size`).
        found: The detections.
        labels: Label names; class id = position + 1.
        threshold: Lowest score to draw.
        with_truth: Draw the dataset's boxes too, below the detections: white where a person drew
            them, grey and dashed where they are interpolated.
        error: A detection to draw over all others; what it was confused with is named as well.
    """
    boxes, texts, colors, dashed = [], [], [], []
    if with_truth:
        confused = error.box if error is not None and error.kind == "confusion" else None
        objects = _touching(truth.boxes, truth.window) & ~truth.crowd
        for i in np.flatnonzero(objects).tolist():
            boxes.append(truth.boxes[i])
            texts.append(labels[truth.classes[i] - 1] if i == confused else "")
            colors.append(TRUTH_COLOR if truth.drawn[i] else INTERPOLATED_COLOR)
            dashed.append(not truth.drawn[i])
    shown = np.flatnonzero(_touching(found.boxes, truth.window) & (found.scores >= threshold))
    on_top = None if error is None else error.detection
    of_label = palette(labels)
    for i in sorted(shown.tolist(), key=lambda i: (i == on_top, found.scores[i])):
        name = found.labels[i]
        boxes.append(found.boxes[i])
        texts.append(f"{name} {found.scores[i]:.0%}")
        colors.append(of_label[name])
        dashed.append(False)
    corners = truth.to_stored(np.array(boxes, np.float64).reshape(-1, 4))
    return draw_boxes(image, corners, texts, colors=colors, dashed=dashed)


def with_size(
    truth: GroundTruth,
    picture: Picture,
    window: tuple[float, float, float, float] | None = None,
) -> GroundTruth:
    """The same image stored as `picture`, or a part of it."""
    stored = (picture.shape[1], picture.shape[0])
    return replace(truth, stored=stored, window=window or truth.window)


def fit(picture: Picture, least: int, most: int, *, even: bool = False) -> Picture:
    """The picture scaled so that its longest side lies within `least` and `most` pixels.

    Lines and letters drawn on a smaller one would be coarse. `even` gives even sides.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    factor = min(max(longest, least), most) / longest
    step = 2 if even else 1
    size = [max(step, round(side * factor / step) * step) for side in (width, height)]
    return picture if size == [width, height] else resize(picture, *size)


def resize(picture: Picture, width: int, height: int) -> Picture:
    """A copy of the picture in another size; it may be stretched."""
    smaller = width < picture.shape[1]
    resized = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    )
    return np.asarray(resized, np.uint8)


def contact_sheet(
    selection: Selection,
    images: Mapping[int, bytes],
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    threshold: float,
) -> bytes:
    """The typical images with detections only, side by side in chronological order, as PNG."""
    width, columns = _CELL
    columns = min(columns, len(selection.typical))
    tiles = []
    for image in selection.typical:
        truth = truths[image]
        picture = simplejpeg.decode_jpeg(images[truth.source_id])
        height = round(picture.shape[0] * width / picture.shape[1])
        picture = resize(picture, width, height)
        scaled = with_size(truth, picture)
        tiles.append(draw_detections(picture, scaled, detections[image], labels, threshold))
    _, png = cv2.imencode(
        ".png", _grid(tiles, columns, width)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]
    )
    return png.tobytes()


def _grid(tiles: Sequence[Picture], columns: int, width: int) -> Picture:
    """Tiles of one width in rows, with white gaps."""
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    sheet = np.full(
        (sum(heights) + _GAP * (len(rows) - 1), columns * (width + _GAP) - _GAP, 3), 255, np.uint8
    )
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = column * (width + _GAP)
            sheet[top : top + tile.shape[0], left : left + width] = tile
        top += height + _GAP
    return sheet


def _touching(boxes: Boxes, window: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
    corners = np.array(window)
    overlaps = np.hstack([boxes[:, :2] < corners[2:], boxes[:, 2:] > corners[:2]])
    touching: npt.NDArray[np.bool_] = np.all(overlaps, axis=1)
    return touching
