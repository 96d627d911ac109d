"""Detections on frames of a small video, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kfdet.detection.detections import Detections
from kfdet.detection.stream import FrameDetections

SIZE = (40, 20)


def frame_with(
    number: int,
    labels: Sequence[str] = (),
    source: str = "film.avi",
    tracks: Sequence[int] | None = None,
) -> FrameDetections:
    """Frame `number` at 10 frames per second with an object for each label, each lower right."""
    offsets = np.arange(len(labels), dtype=float)[:, None]
    boxes = np.array([[0.0, 1.0, 10.5, 12.0]]).repeat(len(labels), axis=0) + offsets
    scores = np.round(0.9 - 0.1 * offsets[:, 0], 3)
    numbers = None if tracks is None else np.array(tracks)
    found = Detections(boxes.reshape(-1, 4), tuple(labels), scores, SIZE, tracks=numbers)
    return FrameDetections(source, number, number / 10, *SIZE, found)
