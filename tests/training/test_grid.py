from __future__ import annotations

import math

import pytest

from kfdet.errors import InputError
from kfdet.parameters import SweepSettings, TrainingSettings
from kfdet.training.grid import MOST_SETTINGS, expand, is_first, swept_names

BASE = TrainingSettings(batch_size=4)


def settings(grid: str, random: int = 0, base: TrainingSettings = BASE) -> list[TrainingSettings]:
    return expand(SweepSettings(grid, random), base, seed=0)


def test_every_combination_of_a_grid() -> None:
    found = settings("network=ssd_resnet50_fpn,spinenet49_mobile learning-rate=.004,8e-3")
    assert [(each.network, each.learning_rate) for each in found] == [
        ("ssd_resnet50_fpn", 0.004),
        ("ssd_resnet50_fpn", 0.008),
        ("spinenet49_mobile", 0.004),
        ("spinenet49_mobile", 0.008),
    ]
    assert {each.batch_size for each in found} == {4}


def test_the_default_of_a_parameter_is_a_value_like_others() -> None:
    assert [each.steps for each in settings("steps=0,20")] == [0, 20]


def test_a_quoted_space() -> None:
    assert [each.steps for each in settings("'steps=10, 20'")] == [10, 20]


@pytest.mark.parametrize(
    ("grid", "rate", "steps", "first"),
    [
        ("learning_rate=0.008,0.004 steps=300,600", 0.008, 300, True),
        ("learning_rate=0.008,0.004 steps=300,600", 0.008, 600, False),
        ("learning_rate=0.008,0.004 steps=300,600", 0.004, 300, False),
        ("learning_rate=0,0.004", 0.008, 300, True),
        ("learning_rate=0,0.004", 0.004, 300, False),
        ("learning_rate=0.004,0", 0.008, 300, False),
    ],
)
def test_the_first_of_a_grid_as_it_was_trained(
    grid: str, rate: float, steps: int, first: bool
) -> None:
    used = {"learning_rate": rate, "steps": steps}
    assert is_first(SweepSettings(grid), used) is first
    assert not is_first(SweepSettings(grid, random=2), used)


def test_names() -> None:
    grid = "steps=10,20 learning_rate=0.001..0.02"
    assert swept_names(SweepSettings(grid)) == ["steps", "learning_rate"]


@pytest.mark.parametrize(
    ("grid", "name", "low", "high"),
    [("learning_rate=0.001..0.1", "learning_rate", 1e-3, 0.1), ("steps=3..40", "steps", 3, 40)],
)
def test_a_range_is_drawn_from(grid: str, name: str, low: float, high: float) -> None:
    values = [getattr(each, name) for each in settings(grid, 30)]
    assert len(set(values)) == 30
    assert low <= min(values) <= max(values) <= high
    middle = math.sqrt(low * high) if name == "learning_rate" else (low + high) / 2
    assert 8 < sum(value < middle for value in values) < 22
    assert values == [getattr(each, name) for each in settings(grid, 30)]


def test_what_is_drawn_reads_well() -> None:
    values = [each.learning_rate for each in settings("learning_rate=0.001..0.1", 20)]
    assert values == [float(f"{value:.3g}") for value in values]


def test_some_of_a_grid() -> None:
    found = settings("steps=1,2,3,4 learning_rate=.1,.2", 5)
    assert len({(each.steps, each.learning_rate) for each in found}) == 5


BAD: list[tuple[str, int, str]] = [
    ("", 0, "names no parameter"),
    ("'steps=1,2", 0, "open quote"),
    ("learning_rate", 0, "gives 'learning_rate' no value"),
    ("learning_rate=", 0, "gives learning_rate no value"),
    ("learning_rate=.1,,.2", 0, "gives learning_rate no value, or an empty one"),
    ("lerning_rate=.1,.2", 0, "no training parameter 'lerning_rate'. Did you mean 'learning_rate'"),
    ("endpoint=a,b", 0, "no training parameter 'endpoint'. There are network, "),
    ("frame_rate=5,10", 0, "frame_rate cannot be in the grid: .* records"),
    ("seed=1,2", 0, "seed cannot be in the grid: .* evaluate"),
    ("min_ap50=.1,.2", 0, "min_ap50 cannot be in the grid: it judges"),
    ("overrides=a,b", 0, "overrides cannot be in the grid: .* --overrides"),
    ("steps=10,x", 0, "steps must be a whole number, got 'x'"),
    ("steps=10,1.5", 0, "steps must be a whole number, got '1.5'"),
    ("learning_rate=.1,x", 0, "learning_rate must be a number, got 'x'"),
    ("learning_rate=.1,nan", 0, "learning_rate must be a finite number"),
    ("steps=10,-1", 0, "steps must be at least 0, got -1"),
    ("network=yolo,ssd", 0, "network must be one of .*, got 'yolo'"),
    ("input_size=big,96x96", 0, "is not HEIGHTxWIDTH"),
    ("learning_rate=.004,0.004", 0, "gives learning_rate the value 0.004 twice"),
    ("steps=1,2 steps=3,4", 0, "names steps twice"),
    ("batch_size=4,8", 0, "batch_size is given twice: with --batch-size, and in the grid"),
    ("steps=1", 0, "at least two settings, got 1"),
    ("steps=1..9", 1, "at least two settings, got 1"),
    ("steps=1..9", 0, "steps has a range.* --random"),
    ("steps=9..1", 3, "the range of steps must rise from above 0, got 9..1"),
    ("learning_rate=0..1", 3, "the range of learning_rate must rise from above 0"),
    ("network=a..b", 3, "network must be one of"),
    ("steps=1,2", 3, "has fewer than 3 different settings"),
    ("steps=1..2", 3, "has fewer than 3 different settings"),
    (f"steps={','.join(map(str, range(60)))}", 0, f"at most {MOST_SETTINGS} settings, got 60"),
    ("steps=1..999", 60, f"at most {MOST_SETTINGS} settings, got 60"),
    ("steps=1,2", -1, "random must be at least 0"),
]


@pytest.mark.parametrize(("grid", "random", "message"), BAD)
def test_what_is_no_grid(grid: str, random: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(grid, random)
