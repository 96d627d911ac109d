from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kfdet.errors import InputError
from kfdet.evaluation.coco import Matches
from kfdet.evaluation.comparison import compare, decide

PICTURES = 40


def measurement(*found: float, blocks: int = 20, seed: int = 0) -> Any:
    """For each label: one object on each picture, of which that share is found."""
    random = np.random.default_rng(seed)
    matches = []
    for share in found:
        right = (random.permutation(PICTURES) < share * PICTURES).astype(float)[None]
        matches.append(Matches(np.arange(PICTURES), right, 1 - right, np.ones(PICTURES)))
    return SimpleNamespace(matches=matches, blocks=np.arange(PICTURES) * blocks // PICTURES)


def compared(new: Any, old: Any, old_labels: tuple[str, ...] | None = ("a", "b")) -> Any:
    return compare(new, old, ("a", "b"), ("a", "b"), old_labels, against="old", seed=0)


def test_the_same_model_is_not_worse_and_not_better() -> None:
    found = compared(measurement(0.8, 0.8), measurement(0.8, 0.8))
    assert (found.difference, found.interval) == (0, (0, 0))
    assert decide("not-worse", found)[0]
    assert not decide("better", found)[0]
    assert decide("always", found)[0]


def test_a_better_and_a_worse_model() -> None:
    better = compared(measurement(0.95, 0.95), measurement(0.5, 0.5))
    assert 0.2 < better.interval[0] < better.difference < better.interval[1]
    good, reason = decide("better", better)
    assert good
    assert "Promoted: the interval must lie above 0 (--promote better)." in reason
    worse = compared(measurement(0.5, 0.5), measurement(0.95, 0.95))
    assert not decide("not-worse", worse)[0]
    assert decide("always", worse)[0]


def test_only_common_labels_are_compared_and_the_others_are_named() -> None:
    found = compared(measurement(0.8, 1), measurement(0.8, 0), ("a", "c"))
    assert found.difference == 0
    assert (found.only_new, found.only_old) == (("b",), ("c",))
    assert "Only the new model knows b. Only old knows c." in str(found)


def test_too_few_blocks_promote_nothing() -> None:
    found = compared(measurement(1, 1, blocks=4), measurement(0, 0, blocks=4))
    assert found.difference == 1
    assert found.interval is None
    assert not decide("better", found)[0]
    assert not decide("not-worse", found)[0]


def test_other_labels() -> None:
    with pytest.raises(InputError, match="knows none of the labels a, b, but c"):
        compared(measurement(1, 1), measurement(1, 1), ("c",))
