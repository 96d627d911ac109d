"""Interpolated boxes that a sure detection contradicts: labels to look at, rather than errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kfdet.boxes.neighbours import NO_KEY
from kfdet.boxes.tables import iou_matrix
from kfdet.detection import Detections
from kfdet.evaluation.attribution import Attribution
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import MATCH_IOU


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """A place where a key frame may be missing.

    Args:
        image: Position of the picture.
        box: Position of the interpolated box in it.
        detection: Position of the detection that lies beside it.
        video: Source of the picture.
        frame: 0-based frame of the source.
        track: Track of the box.
        label: Of both.
        place: How far the box is from what was drawn: "2 frames from key 720".
        score: Of the detection.
        iou: Of the two.
    """

    image: int
    box: int
    detection: int
    video: str
    frame: int
    track: int
    label: str
    place: str
    score: float
    iou: float

    def describe(self) -> dict[str, Any]:
        """What a person needs to find the place."""
        names = ("video", "frame", "track", "label", "place", "score", "iou")
        return {name: getattr(self, name) for name in names}


def check_labels(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    attributions: Sequence[Attribution],
    threshold: float,
) -> list[LabelCheck]:
    """The worst frame of each stretch between two key frames of a track, worst first.

    Args:
        truths: All pictures, measured or not.
        detections: The answers, in the same order.
        attributions: To which object each detection belongs.
        threshold: Detections from this score up are sure.
    """
    worst: dict[tuple[str, int, int, int], LabelCheck] = {}
    for image, (truth, found, attribution) in enumerate(
        zip(truths, detections, attributions, strict=True)
    ):
        for detection in np.flatnonzero(attribution.absorbed & (found.scores >= threshold)):
            box = int(attribution.boxes[detection])
            iou = float(iou_matrix(found.boxes[[detection]], truth.boxes[[box]])[0, 0])
            stretch = (truth.video, int(truth.tracks[box]), *truth.keys[box].tolist())
            if iou < min(MATCH_IOU, worst[stretch].iou if stretch in worst else MATCH_IOU):
                worst[stretch] = LabelCheck(
                    image=image,
                    box=box,
                    detection=int(detection),
                    video=truth.video,
                    frame=truth.frame,
                    track=int(truth.tracks[box]),
                    label=found.labels[detection],
                    place=from_key(truth, box),
                    score=float(found.scores[detection]),
                    iou=iou,
                )
    return sorted(worst.values(), key=lambda check: check.iou)


def from_key(truth: GroundTruth, box: int) -> str:
    """How far an interpolated box is from what was drawn: "2 frames from key 720"."""
    known = [int(key) for key in truth.keys[box] if key != NO_KEY]
    if not known:
        return "no key frame"
    key = min(known, key=lambda known_key: abs(known_key - truth.frame))
    away = abs(key - truth.frame)
    return f"{away} {'frame' if away == 1 else 'frames'} from key {key}"
