from __future__ import annotations

from dataclasses import asdict

import pytest

from kfdet.errors import InputError
from kfdet.parameters import SweepSettings, TrainingSettings
from kfdet.stages.grid import expand_grid


def test_each_setting_has_every_training_parameter() -> None:
    base = TrainingSettings(batch_size=4)
    found = expand_grid(SweepSettings("steps=10,20"), base, seed=0)
    assert found == [asdict(base) | {"steps": 10}, asdict(base) | {"steps": 20}]


def test_a_bad_grid() -> None:
    with pytest.raises(InputError, match="names no parameter"):
        expand_grid(SweepSettings(), TrainingSettings(), seed=0)
