"""What training gives to export and evaluation: weights, configuration, history, description."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from kfdet.files import read_json_object
from kfdet.training.history import HISTORY_FILE

DESCRIPTION_FILE = "model.json"
_EXPERIMENT = "experiment.yaml"
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Description:
    """What a trained model is.

    Args:
        network: Name of the network.
        two_stage: Whether it is a Faster R-CNN.
        height: Input height in pixels.
        width: Input width in pixels.
        labels: Label names, class id 1 first.
        step: Training step of the weights.
        seed: Training seed.
        records: SHA-256 over the TFRecords it was trained on.
        versions: Versions of the packages that made it.
        start: What its training started from.
    """

    network: str
    two_stage: bool
    height: int
    width: int
    labels: tuple[str, ...]
    step: int
    seed: int
    records: str
    versions: dict[str, str]
    start: dict[str, Any] = field(default_factory=dict)


def package_versions() -> dict[str, str]:
    """Versions of the packages that make a model."""
    return {name: version(name) for name in ("kfdet", "tensorflow", "tf-models-official")}


def write_model(
    folder: Path, description: Description, experiment: dict[str, Any], checkpoints: Path, best: str
) -> None:
    """Fill `folder` with the best weights under `checkpoints` and all that describes them."""
    for part in sorted((checkpoints / best).parent.glob(f"{Path(best).name}.*")):
        shutil.copyfile(part, folder / f"{_WEIGHTS}{part.suffix}")
    shutil.copyfile(checkpoints / HISTORY_FILE, folder / HISTORY_FILE)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(asdict(description), indent=1) + "\n")
    (folder / _EXPERIMENT).write_text(yaml.safe_dump(experiment))


def read_description(folder: Path) -> Description:
    """The description in `folder`."""
    raw = read_json_object(folder / DESCRIPTION_FILE)
    return Description(**{**raw, "labels": tuple(raw["labels"])})


def read_experiment(folder: Path) -> dict[str, Any]:
    """The experiment configuration in `folder`, as nested dictionaries."""
    experiment: dict[str, Any] = yaml.safe_load((folder / _EXPERIMENT).read_text())
    return experiment


def weights_prefix(folder: Path) -> str:
    """Path of the weights, as TensorFlow's checkpoint reader takes it."""
    return str(folder / _WEIGHTS)
