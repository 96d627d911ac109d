"""Grid stage: the settings of each training of a sweep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kfdet.parameters import SweepSettings, TrainingSettings
from kfdet.training.grid import expand


def expand_grid(
    sweep: SweepSettings, settings: TrainingSettings, *, seed: int
) -> list[dict[str, Any]]:
    """The training parameters of each training of a sweep, by name.

    Args:
        sweep: The grid, and how many settings are drawn from it.
        settings: The parameters that the grid does not name.
        seed: Seed of the draw.

    Raises:
        InputError: The grid is not one, or a value is out of its limits.
    """
    return [asdict(each) for each in expand(sweep, settings, seed)]
