"""Pictures of what a detector does, with captions: its worst errors, and typical frames."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg

from kfdet.detection import Detections
from kfdet.detection.drawing import Picture
from kfdet.evaluation.attribution import regions, undrawn
from kfdet.evaluation.error_analysis import FalsePositive, Miss
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.label_checks import LabelCheck, from_key
from kfdet.evaluation.matching import MATCH_IOU, TOUCH_IOU
from kfdet.evaluation.report.pictures import draw_detections, fit, resize, with_size
from kfdet.evaluation.report.selection import Selection

_CONTEXT = 2.5  # side of a crop in sides of the box it is about
_CROP_SIDE = 400
_SMALLEST_CROP = 96  # stored pixels: less than that shows no surroundings
_TYPICAL_SIDES = (480, 640)
_QUALITY = 85


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


def data_uri(content: bytes, media_type: str) -> str:
    """Bytes as a data: URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


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
    picture = resize(crop, round(crop.shape[1] * factor), round(crop.shape[0] * factor))
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
