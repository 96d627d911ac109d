from __future__ import annotations

import numpy as np
import pytest

from kfdet.boxes.tables import UNTRACKED
from kfdet.detection import Detections
from kfdet.detection.stream import FrameDetections
from kfdet.detection.tracking import Tracker


def frame(
    number: int,
    *objects: tuple[str, float, float],
    source: str = "a.mp4",
    score: float = 0.9,
    threshold: float | None = 0.5,
) -> FrameDetections:
    """Objects as (label, left, top), 20 pixels wide and 40 high."""
    found = Detections(
        boxes=np.array([[x, y, x + 20, y + 40] for _, x, y in objects]).reshape(-1, 4),
        labels=tuple(label for label, _, _ in objects),
        scores=np.full(len(objects), score),
        size=(640, 360),
        threshold=threshold,
    )
    return FrameDetections(source, number, number / 10, 640, 360, found)


def tracks(found: FrameDetections) -> list[int]:
    assert found.detections.tracks is not None
    return found.detections.tracks.tolist()


def test_nothing_to_track():
    tracker = Tracker()
    assert tracks(tracker(frame(0))) == []
    assert tracks(tracker(frame(1))) == []


def test_an_object_keeps_its_number_and_its_detection():
    tracker = Tracker()
    for number in range(20):
        right, left = ("mug", 100 + 4.0 * number, 50), ("mug", 400 - 4.0 * number, 250)
        given = frame(number, *((right, left) if number % 2 else (left, right)))
        found = tracker(given)
        assert tracks(found) == ([2, 1] if number % 2 else [1, 2])
        assert (found.detections.boxes == given.detections.boxes).all()
        assert given.detections.tracks is None


def test_an_object_that_is_hidden_for_a_moment_keeps_its_number():
    tracker = Tracker()
    seen = [
        tracks(tracker(frame(number, *[("mug", 100 + 4.0 * number, 50)] * (not 10 <= number < 14))))
        for number in range(20)
    ]
    assert seen == [[1]] * 10 + [[]] * 4 + [[1]] * 6


def test_other_labels_are_other_objects():
    tracker = Tracker()
    for number in range(3):
        assert tracks(tracker(frame(number, ("mug", 100, 50), ("robot", 100, 50)))) == [1, 2]


def test_each_source_has_tracks_of_its_own():
    tracker = Tracker()
    for number in range(3):
        for source in ("a.mp4", "b.mp4"):
            objects = [("mug", 100.0, 50.0), ("mug", 300.0, 50.0)]
            assert tracks(tracker(frame(number, *objects, source=source))) == [1, 2]


@pytest.mark.parametrize(("threshold", "begins"), [(0.5, 0.61), (None, 0.11), (0.98, 0.995)])
def test_an_unsure_detection_begins_no_track_but_continues_one(threshold, begins):
    tracker = Tracker()
    mug = ("mug", 100.0, 50.0)
    weak = {"score": threshold or 0.0, "threshold": threshold}
    assert tracks(tracker(frame(0, mug, **weak))) == [UNTRACKED]
    assert tracks(tracker(frame(1, mug, score=begins, threshold=threshold))) == [1]
    assert tracks(tracker(frame(2, mug, **weak))) == [1]
