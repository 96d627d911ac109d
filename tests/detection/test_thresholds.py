from __future__ import annotations

import pytest

from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError


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
