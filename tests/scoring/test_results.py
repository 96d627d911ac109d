"""What scoring writes for a file is within the limits of what it reads."""

from __future__ import annotations

import numpy as np
import pytest

from kfdet.detection import Detections
from kfdet.detection.stream import FrameDetections
from kfdet.scoring import results


def test_a_long_film_full_of_objects_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_GROUP_FRAMES", 10)
    monkeypatch.setattr(results, "MAX_BOXES", 30)
    found = Detections(np.tile([0.0, 0.0, 5.0, 5.0], (3, 1)), ("mug",) * 3, np.ones(3), (9, 9))
    frames = [FrameDetections("film.mp4", number, number / 30, 9, 9, found) for number in range(40)]
    assert len(results._parse(results.to_bytes(frames))) == 40
