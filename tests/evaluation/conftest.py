"""Validation images and answers written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth

Box = Sequence[float]


class Hand:
    """Makes one image of 640x480 with boxes, and the answer to it."""

    @staticmethod
    def truth(
        source_id: int,
        boxes: Sequence[Box] = (),
        classes: Sequence[int] = (),
        *,
        crowd: Sequence[bool] = (),
        difficult: Sequence[bool] = (),
        drawn: Sequence[bool] = (),
        tracks: Sequence[int] = (),
        keys: Sequence[tuple[int, int]] = (),
        hulls: Sequence[Box] = (),
        kind: str = "frame",
        measured: bool = True,
    ) -> GroundTruth:
        count = len(boxes)
        return GroundTruth(
            source_id=source_id,
            video="a.mp4",
            frame=source_id,
            kind=kind,
            stored=(640, 480),
            window=(0.0, 0.0, 640.0, 480.0),
            boxes=np.array(boxes, float).reshape(-1, 4),
            classes=np.array(classes or [1] * count, np.int64),
            crowd=np.array(crowd or [False] * count, bool),
            difficult=np.array(difficult or [False] * count, bool),
            drawn=np.array(drawn or [True] * count, bool),
            tracks=np.array(tracks or range(count), np.int64),
            keys=np.array(keys or [(source_id, source_id)] * count, np.int64).reshape(-1, 2),
            hulls=np.array(hulls or boxes, float).reshape(-1, 4),
            measured=measured,
        )

    @staticmethod
    def found(
        boxes: Sequence[Box] = (),
        scores: Sequence[float] = (),
        classes: Sequence[int] = (),
        labels: Sequence[str] = ("cat", "dog"),
    ) -> Detections:
        return Detections(
            boxes=np.array(boxes, float).reshape(-1, 4),
            labels=tuple(labels[k - 1] for k in classes or [1] * len(boxes)),
            scores=np.array(scores or [0.9] * len(boxes), float),
            size=(640, 480),
        )


@pytest.fixture(scope="session")
def hand() -> type[Hand]:
    return Hand
