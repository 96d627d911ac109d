"""What follows from the size of the dataset and the machine."""

from __future__ import annotations

import math

_EPOCHS = {False: 5, True: 60}
_MIN_STEPS = {False: 300, True: 1500}
_MAX_STEPS = {False: 600, True: 20000}
_VALIDATIONS = 5
# Adam moves a weight by about the learning rate at each step, however small its gradient: at the
# rate that suits random weights, trained ones would be gone before the new heads have learned.
_FINE_TUNING = 0.25


def fitted_steps(examples: int, batch_size: int, gpu: bool) -> int:
    """Training steps for a dataset: some epochs, within limits."""
    steps = _EPOCHS[gpu] * examples // batch_size
    return max(_MIN_STEPS[gpu], min(_MAX_STEPS[gpu], steps))


def fitted_rate(rate: float, batch_size: int, *, pretrained: bool) -> float:
    """Peak learning rate for a batch.

    Args:
        rate: That of the network for 8 images from random weights.
        batch_size: Images per step.
        pretrained: Whether training starts from weights that know something already.
    """
    # Square-root scaling suits Adam (Malladi et al., 2022).
    return rate * math.sqrt(batch_size / 8) * (_FINE_TUNING if pretrained else 1.0)


def validation_interval(steps: int) -> int:
    """Steps between validations and checkpoints: a handful of each per run."""
    return max(1, -(-steps // _VALIDATIONS))
