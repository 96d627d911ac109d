from __future__ import annotations

import pytest

from kfdet.training.history import History


def history(*ap50: float, **more: object) -> History:
    val = [{"step": 10.0 * i, "AP": 0.0, "AP50": value} for i, value in enumerate(ap50, start=1)]
    return History(val=val, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ap50", "best", "without_gain"),
    [
        ((), None, 0),
        ((0.5,), 10, 0),
        ((0.5, 0.7, 0.6), 20, 1),
        ((0.0, 0.0, 0.0), 30, 2),
        ((0.4, 0.7, 0.7, 0.1), 30, 2),
    ],
)
def test_the_last_of_equal_validations_is_the_best(ap50, best, without_gain):
    found = history(*ap50).best()
    assert (found and found["step"]) == best
    assert history(*ap50).validations_without_gain() == without_gain


def test_patience_begins_anew_where_a_longer_training_takes_over():
    assert history(0.7, 0.6, 0.6, 0.6, continued_from=30).validations_without_gain() == 1
