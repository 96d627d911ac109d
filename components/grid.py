"""Grid: the settings of each training of a sweep."""

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import SweepSettings, TrainingSettings


@component(IMAGE)
def grid(sweep: SweepSettings, settings: TrainingSettings, seed: int) -> list[dict]:  # type: ignore[type-arg]
    """Combine the values of a grid, or draw some of them at random.

    Args:
        sweep: Which trainings a sweep compares.
        settings: The parameters that the grid does not name.
        seed: Seed of the draw.

    Returns:
        All training parameters of each setting.
    """
    from kfdet.stages.grid import expand_grid

    return expand_grid(sweep, settings, seed=seed)
