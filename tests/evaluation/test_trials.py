from __future__ import annotations

import pytest

from kfdet.evaluation.trials import Trial, rank


def trial(ap50: float, ap: float = 0.3, megabytes: float = 7.0, ms: float = 10.0) -> Trial:
    return Trial({"steps": 20}, ap50, ap, ms_per_image=ms, megabytes=megabytes, minutes=1.0)


@pytest.mark.parametrize(
    ("trials", "order"),
    [
        ([], []),
        ([trial(0.5)], [0]),
        ([trial(0.5), trial(0.7), trial(0.6)], [1, 2, 0]),
        ([trial(0.5, ap=0.2), trial(0.5, ap=0.4)], [1, 0]),
        ([trial(0.5, megabytes=14), trial(0.5)], [1, 0]),
        ([trial(0.5, ms=20), trial(0.5, ms=10)], [0, 1]),
        ([trial(0.5), trial(0.5)], [0, 1]),
    ],
)
def test_the_best_first(trials: list[Trial], order: list[int]) -> None:
    assert rank(trials) == order
