from __future__ import annotations

import pytest

from kfdet.training.history import History


def history(*ap: float, **more: object) -> History:
    val = [{"step": 10.0 * i, "AP": value, "AP50": 0.0} for i, value in enumerate(ap, start=1)]
    return History(val=val, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ap", "best", "without_gain"),
    [
        ((), None, 0),
        ((0.5,), 10, 0),
        ((0.5, 0.7, 0.6), 20, 1),
        ((0.0, 0.0, 0.0), 30, 2),
        ((0.4, 0.7, 0.7, 0.1), 30, 2),
        ((0.4, 0.47, 0.464, 0.462, 0.45), 40, 3),
        ((0.4, 0.5, 0.495, 0.485), 30, 2),
    ],
)
def test_the_last_of_almost_equal_validations_is_the_best(ap, best, without_gain):
    found = history(*ap).best()
    assert (found and found["step"]) == best
    assert history(*ap).validations_without_gain() == without_gain


@pytest.mark.parametrize("ap", [(0.4, 0.47, 0.464, 0.45), (0.3, 0.2, 0.295, 0.31, 0.301, 0.2)])
def test_weights_are_kept_one_validation_after_the_other(ap):
    """Each validation knows only those before it: the last one kept must be the best of all."""
    kept = [n for n in range(len(ap)) if history(*ap[:n]).is_best(ap[n])]
    assert 10.0 * (kept[-1] + 1) == history(*ap).best()["step"]


def test_patience_begins_anew_where_a_longer_training_takes_over():
    assert history(0.7, 0.6, 0.6, 0.6, continued_from=30).validations_without_gain() == 1
