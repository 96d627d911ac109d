from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kfdet.evaluation.coco import Matches
from kfdet.evaluation.trials import Trial, compared, explain, order, rank

PICTURES = 40


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


def measured(found: float, blocks: int = 20) -> Any:
    """One object on each picture, of which that share is found."""
    right = (np.random.default_rng(0).permutation(PICTURES) < found * PICTURES).astype(float)[None]
    matches = Matches(np.arange(PICTURES), right, 1 - right, np.ones(PICTURES))
    numbers = np.arange(PICTURES) * blocks // PICTURES
    return trial(found), SimpleNamespace(matches=[matches], blocks=numbers)


@pytest.mark.parametrize(
    ("found", "first", "blocks", "chosen"),
    [
        ([0.9, 0.875], 1, 20, 1),
        ([0.9, 0.875], None, 20, 0),
        ([0.9, 0.3], 1, 20, 0),
        ([0.3, 0.5, 0.9], 2, 20, 2),
        ([0.9, 0.3], 1, 4, 0),
    ],
)
def test_the_first_of_the_grid_stays_unless_another_one_is_better(
    found: list[float], first: int | None, blocks: int, chosen: int
) -> None:
    positions = order([measured(share, blocks) for share in found], ["mug"], first)
    others = [i for i in rank([trial(share) for share in found]) if i != chosen]
    assert positions == [chosen, *others]


def test_each_trial_is_compared_with_the_best() -> None:
    best, close, far = compared([measured(0.9), measured(0.875), measured(0.3)], ["mug"])
    assert best.difference is best.interval is None
    assert close.difference < 0 <= close.interval[1]
    assert close.as_good
    assert far.interval[0] < far.difference < far.interval[1] < 0
    assert not far.as_good


def test_of_equal_settings_none_leads() -> None:
    """Not even where the other one would rank first, as here by its AP."""
    (first, same), other = measured(0.9), measured(0.9)[0]
    other = replace(other, AP=0.5)
    text = explain(compared([(first, same), (other, same)], ["mug"]), 40)
    assert text.startswith("Setting 1 has the highest AP50")


@pytest.mark.parametrize(
    ("found", "blocks", "reason"),
    [
        (
            [0.9, 0.875, 0.3],
            20,
            "But settings 1, 2 cannot be told apart: the differences may be chance.",
        ),
        ([0.9, 0.9, 0.875], 20, "But settings 1, 2, 3 cannot be told apart"),
        ([0.9, 0.3], 20, "each of the others is worse (probability 95%)."),
        (
            [0.875, 0.9],
            20,
            "But that may be chance, so setting 1 is chosen, which the grid names first.",
        ),
        ([0.9, 0.3], 4, "There is too little truth to say how sure that is."),
    ],
)
def test_how_sure_the_choice_is(found: list[float], blocks: int, reason: str) -> None:
    text = explain(compared([measured(share, blocks) for share in found], ["mug"]), 40)
    best = found.index(max(found)) + 1
    assert text.startswith(f"Setting {best} has the highest AP50 on 40 validation pictures. ")
    assert reason in text
