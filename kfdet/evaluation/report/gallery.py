"""Pictures of what a detector does: its worst errors, typical frames, and a contact sheet."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from kfdet.boxes.tables import Boxes, iou_matrix
from kfdet.detection import Detections
from kfdet.detection.drawing import Color, Picture, draw_boxes, palette
from kfdet.evaluation.attribution import regions, undrawn
from kfdet.evaluation.error_analysis import ErrorAnalysis, FalsePositive, Miss
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.label_checks import LabelCheck, from_key
from kfdet.evaluation.matching import MATCH_IOU, TOUCH_IOU

TRUTH_COLOR: Color = (255, 255, 255)
"""Boxes that a person drew are white; detections have the colour of their label."""

INTERPOLATED_COLOR: Color = (170, 170, 170)
"""Interpolated boxes are grey and dashed: they are no truth."""

_ERRORS = 12
_TYPICAL = 6
_CONTEXT = 2.5  # side of a crop in sides of the box it is about
_CROP_SIDE = 400
_SMALLEST_CROP = 96  # stored pixels: less than that shows no surroundings
_TYPICAL_SIDES = (480, 640)
_QUALITY = 85
_SAME_THING = 0.3  # IoU within one video from which two errors are likely about one thing
_CELL = (400, 3)  # width of a contact sheet's picture, columns
_GAP = 6


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the gallery: file name, JPEG bytes and what it shows."""

    name: str
    jpeg: bytes
    video: str
    frame: int
    caption: str

    @property
    def data_uri(self) -> str:
        """The picture as a data: URI."""
        return data_uri(self.jpeg, "image/jpeg")


@dataclass(frozen=True, slots=True)
class Selection:
    """What the gallery shows: the worst errors, labels to check, positions of typical images."""

    false_positives: list[FalsePositive]
    misses: list[Miss]
    typical: list[int]
    labels_to_check: list[LabelCheck]

    def images(self) -> set[int]:
        """Positions of all images that are needed."""
        wrong = {e.image for e in self.false_positives}
        checks = {check.image for check in self.labels_to_check}
        return wrong | {e.image for e in self.misses} | checks | set(self.typical)


def data_uri(content: bytes, media_type: str) -> str:
    """Bytes as a data: URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def select(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    analysis: ErrorAnalysis,
    seed: int,
    labels_to_check: Sequence[LabelCheck] = (),
) -> Selection:
    """The highest-scored false positives, the largest misses, and random images with objects.

    An error that comes back at the same place of a video is shown once, unless there is room.
    Typical images are in chronological order.
    """
    wrong = [detections[e.image].boxes[e.detection] for e in analysis.false_positives]
    missed = [truths[e.image].boxes[e.box] for e in analysis.misses]
    videos = [truths[e.image].video for e in analysis.false_positives]
    missed_videos = [truths[e.image].video for e in analysis.misses]
    worst = _different(wrong, videos)
    largest = _different(missed, missed_videos)
    candidates = [i for i, truth in enumerate(truths) if truth.measured and not truth.crowd.all()]
    random = np.random.default_rng(seed)
    count = min(_TYPICAL, len(candidates))
    typical = random.choice(candidates, count, replace=False).tolist() if candidates else []
    return Selection(
        [analysis.false_positives[i] for i in worst],
        [analysis.misses[i] for i in largest],
        sorted(typical, key=lambda i: (truths[i].video, truths[i].frame)),
        list(labels_to_check[:_ERRORS]),
    )


def _different(boxes: Sequence[npt.NDArray[np.float64]], videos: Sequence[str]) -> list[int]:
    """The first positions whose boxes are not about the same thing; then, with room, the others."""
    chosen: list[int] = []
    repeated: list[int] = []
    for i, box in enumerate(boxes):
        if len(chosen) == _ERRORS:
            break
        near = [boxes[j] for j in chosen if videos[j] == videos[i]]
        same = bool(near) and iou_matrix(box[None], np.array(near)).max() > _SAME_THING
        (repeated if same else chosen).append(i)
    return sorted(chosen + repeated[: _ERRORS - len(chosen)])


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


def make_shots(
    selection: Selection,
    images: Mapping[int, bytes],
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    threshold: float,
) -> dict[str, list[Shot]]:
    """Draw the selection: lists "false_positives", "misses", "typical" and "labels_to_check".

    Args:
        selection: What to show.
        images: JPEG bytes by source_id.
        truths: Every validation image.
        detections: The answers, in the same order.
        labels: Label names; class id = position + 1.
        threshold: Detections from this score up are drawn.
    """
    wrong = []
    for number, error in enumerate(selection.false_positives, start=1):
        truth, found = truths[error.image], detections[error.image]
        picture = simplejpeg.decode_jpeg(images[truth.source_id])
        box = found.boxes[error.detection]
        drawn = _close_up(picture, truth, found, box, labels, threshold, error)
        caption = _false_positive_text(error, truth, found, labels)
        wrong.append(_shot(f"false-positive-{number:02d}.jpg", drawn, truth, caption))
    missed = []
    for number, miss in enumerate(selection.misses, start=1):
        truth, found = truths[miss.image], detections[miss.image]
        picture = simplejpeg.decode_jpeg(images[truth.source_id])
        drawn = _close_up(picture, truth, found, truth.boxes[miss.box], labels, threshold)
        caption = _miss_text(miss, truth, labels)
        missed.append(_shot(f"miss-{number:02d}.jpg", drawn, truth, caption))
    typical = []
    for number, image in enumerate(selection.typical, start=1):
        truth, found = truths[image], detections[image]
        picture = fit(simplejpeg.decode_jpeg(images[truth.source_id]), *_TYPICAL_SIDES)
        scaled = with_size(truth, picture)
        drawn = draw_detections(picture, scaled, found, labels, threshold, with_truth=True)
        shown = len(found.above(threshold))
        objects, interpolated = (~truth.crowd).sum(), (~truth.drawn & ~truth.crowd).sum()
        labelled = f"{objects} labelled"
        if interpolated:
            labelled = f"{objects - interpolated} drawn, {interpolated} interpolated"
        caption = f"{labelled}, {shown} detected"
        typical.append(_shot(f"typical-{number:02d}.jpg", drawn, truth, caption))
    doubtful = []
    for number, check in enumerate(selection.labels_to_check, start=1):
        truth, found = truths[check.image], detections[check.image]
        picture = simplejpeg.decode_jpeg(images[truth.source_id])
        both = np.array([truth.boxes[check.box], found.boxes[check.detection]])
        around = np.concatenate([both[:, :2].min(axis=0), both[:, 2:].max(axis=0)])
        drawn = _close_up(picture, truth, found, around, labels, threshold)
        caption = _label_check_text(check)
        doubtful.append(_shot(f"label-to-check-{number:02d}.jpg", drawn, truth, caption))
    return {
        "false_positives": wrong,
        "misses": missed,
        "typical": typical,
        "labels_to_check": doubtful,
    }


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
        picture = _resize(picture, width, height)
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


def _shot(name: str, picture: Picture, truth: GroundTruth, caption: str) -> Shot:
    jpeg = simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture), quality=_QUALITY, colorsubsampling="420"
    )
    return Shot(name, jpeg, truth.video, truth.frame, caption)


def _false_positive_text(
    error: FalsePositive, truth: GroundTruth, found: Detections, labels: Sequence[str]
) -> str:
    name = f"{found.labels[error.detection]} {error.score:.0%}"
    if error.box is None:
        undrawn_box = _near_undrawn(error, truth, found, labels)
        if undrawn_box is None:
            return f"{name}: nothing labelled here (IoU below {TOUCH_IOU:g})"
        away = from_key(truth, undrawn_box)
        return f"{name}: too far from the labelled box (interpolated, {away})"
    true = labels[truth.classes[error.box] - 1]
    return {
        "duplicate": f"{name}: second box on the same object",
        "confusion": f"{name}: labelled {true}",
        "localisation": f"{name}: too loose or shifted, IoU {_below(error.iou)}",
    }[error.kind]


def _near_undrawn(
    error: FalsePositive, truth: GroundTruth, found: Detections, labels: Sequence[str]
) -> int | None:
    """The interpolated box of that label in whose region a false positive lies."""
    box = found.boxes[error.detection]
    centre, places = (box[:2] + box[2:]) / 2, regions(truth)
    near = (
        undrawn(truth)
        & (truth.classes == labels.index(found.labels[error.detection]) + 1)
        & (places[:, :2] <= centre).all(axis=1)
        & (places[:, 2:] >= centre).all(axis=1)
    )
    return int(near.argmax()) if near.any() else None


def _label_check_text(check: LabelCheck) -> str:
    return (
        f"{check.label} {check.score:.0%} beside the box of track {check.track}, interpolated, "
        f"{check.place} (IoU {_below(check.iou)})"
    )


def _below(iou: float) -> str:
    """An IoU with two digits, rounded down: what is not enough does not look like enough."""
    return f"{math.floor(100 * iou + 1e-9) / 100:.2f}"


def _miss_text(error: Miss, truth: GroundTruth, labels: Sequence[str]) -> str:
    width, height = truth.boxes[error.box, 2:] - truth.boxes[error.box, :2]
    if error.iou >= MATCH_IOU:
        near = f"the detection here (IoU {error.iou:.2f}) counts for another object"
    else:
        near = (
            f"nearest detection IoU {_below(error.iou)}" if error.iou > 0 else "no detection near"
        )
    name = labels[truth.classes[error.box] - 1]
    return f"{name}, {width:.0f} × {height:.0f} px: {near}"


def _close_up(
    image: Picture,
    truth: GroundTruth,
    found: Detections,
    box: npt.NDArray[np.float64],
    labels: Sequence[str],
    threshold: float,
    error: FalsePositive | None = None,
) -> Picture:
    """A square around `box` (source pixels) with its surroundings, everything drawn on it."""
    subject = truth.to_stored(box[None])[0]
    left, top, right, bottom = _square(subject, image.shape[1], image.shape[0])
    crop = image[top:bottom, left:right]
    factor = _CROP_SIDE / max(crop.shape[:2])
    picture = _resize(crop, round(crop.shape[1] * factor), round(crop.shape[0] * factor))
    # The crop is a picture of its own with its own window of the source.
    x, y = np.divide(truth.size, truth.stored)
    origin = np.array(truth.window[:2])
    start = origin + np.array([left * x, top * y])
    end = origin + np.array([right * x, bottom * y])
    window = (float(start[0]), float(start[1]), float(end[0]), float(end[1]))
    inside = with_size(truth, picture, window)
    return draw_detections(picture, inside, found, labels, threshold, with_truth=True, error=error)


def _square(box: npt.NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """A square around the box, moved and cut to fit into the image."""
    side = max(_CONTEXT * max(box[2] - box[0], box[3] - box[1]), _SMALLEST_CROP)
    wide, high = min(math.ceil(side), width), min(math.ceil(side), height)
    x, y = (box[:2] + box[2:]) / 2
    left = int(np.clip(round(x - wide / 2), 0, width - wide))
    top = int(np.clip(round(y - high / 2), 0, height - high))
    return left, top, left + wide, top + high


def _touching(boxes: Boxes, window: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
    corners = np.array(window)
    overlaps = np.hstack([boxes[:, :2] < corners[2:], boxes[:, 2:] > corners[:2]])
    touching: npt.NDArray[np.bool_] = np.all(overlaps, axis=1)
    return touching


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
    return picture if size == [width, height] else _resize(picture, *size)


def _resize(picture: Picture, width: int, height: int) -> Picture:
    smaller = width < picture.shape[1]
    resized = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    )
    return np.asarray(resized, np.uint8)
