"""What follows from the size of the dataset and the machine."""

from __future__ import annotations

_EPOCHS = {False: 6, True: 60}
_MIN_STEPS = {False: 300, True: 1500}
_MAX_STEPS = {False: 600, True: 20000}
_VALIDATIONS = 5


def fitted_steps(examples: int, batch_size: int, gpu: bool) -> int:
    """Training steps for a dataset: some epochs, within limits."""
    steps = _EPOCHS[gpu] * examples // batch_size
    return max(_MIN_STEPS[gpu], min(_MAX_STEPS[gpu], steps))


def validation_interval(steps: int) -> int:
    """Steps between validations and checkpoints: a handful of each per run."""
    return max(1, -(-steps // _VALIDATIONS))
