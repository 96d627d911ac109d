"""What a training run is given, and what follows from the dataset and the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfdet.errors import InputError

_EPOCHS = {False: 6, True: 60}
_MIN_STEPS = {False: 300, True: 1500}
_MAX_STEPS = {False: 600, True: 20000}
_VALIDATIONS = 5


@dataclass(frozen=True)
class Settings:
    """Parameters of one training run; 0 and "" mean: fitted to dataset and machine.

    Args:
        network: Name in `kfdet.training.networks.NETWORKS`.
        input_size: "HEIGHTxWIDTH" in pixels.
        steps: Training steps.
        batch_size: Images a step, over all devices.
        learning_rate: Peak learning rate.
        init_checkpoint: Checkpoint to start from: path, URL or bucket URI.
        overrides: YAML over Model Garden's experiment configuration.
        early_stop: Stop after this many validations without a better AP50; 0 never stops.
        seed: Seed of initial weights, order and augmentation.
    """

    network: str
    input_size: str = ""
    steps: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    init_checkpoint: str = ""
    overrides: str = ""
    early_stop: int = 4
    seed: int = 0


def parse_input_size(text: str) -> tuple[int, int]:
    """Height and width of "HEIGHTxWIDTH".

    Raises:
        InputError: The text has another form.
    """
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text.strip())
    if not found:
        raise InputError(
            f'input size "{text}" is not HEIGHTxWIDTH.', hint='Write for example "288x384".'
        )
    return int(found[1]), int(found[2])


def fitted_steps(examples: int, batch_size: int, gpu: bool) -> int:
    """Training steps for a dataset: some epochs, within what is enough and what people wait for."""
    steps = _EPOCHS[gpu] * examples // batch_size
    return max(_MIN_STEPS[gpu], min(_MAX_STEPS[gpu], steps))


def validation_interval(steps: int) -> int:
    """Steps between validations and checkpoints: a handful of each a run."""
    return max(1, -(-steps // _VALIDATIONS))
