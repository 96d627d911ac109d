from __future__ import annotations

import numpy as np
import pytest

from kfdet.detection import Detector
from kfdet.detection.backend import Answer
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError
from kfdet.events import listening


def test_from_metrics_and_back() -> None:
    metrics = {
        "threshold": 0.4,
        "per_class": {"mug": {"threshold": 0.3}, "robot": {"threshold": None}},
    }
    found = Thresholds.from_metrics(metrics)
    assert found == Thresholds(0.4, {"mug": 0.3})
    assert Thresholds.parse(found.to_json(), "thresholds.json") == found


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"overall": 0.4}', '{"overall": 1, "per_label": 2}']
)
def test_a_damaged_file(text: str) -> None:
    with pytest.raises(InputError, match=r"x/thresholds\.json.*cannot be read"):
        Thresholds.parse(text, "x/thresholds.json")


class Scores:
    """Finds the same object with several scores."""

    place = "somebody's model"
    labels = ("mug",)
    input_size = None
    in_flight = 1

    def __init__(self, thresholds: Thresholds | None) -> None:
        self.thresholds = thresholds

    def predict(self, pictures: list[bytes]) -> Answer:
        row = {
            "detection_boxes": np.tile([0.0, 0.0, 1.0, 1.0], (3, 1)),
            "detection_scores": np.array([0.9, 0.5, 0.1]),
            "detection_class_names": ["mug"] * 3,
            "num_detections": 3,
        }
        return Answer([row] * len(pictures), None)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("own", "asked", "found", "warned"),
    [(None, None, 2, True), (None, 0.05, 3, False), (Thresholds(0.6, {}), None, 1, False)],
)
def test_where_no_threshold_is_known_some_is_taken(
    own: Thresholds | None, asked: float | None, found: int, warned: bool
) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    warnings: list[str] = []
    with listening(lambda event: warnings.append(event["message"])):
        detector = Detector(Scores(own), asked).with_some_threshold()
    assert len(detector.detect(picture)) == found
    wanted = "somebody's model comes without a threshold: 0.3 is used"
    assert [(wanted in w) for w in warnings] == [True] * warned
