"""What training gives to export and evaluation: weights, configuration, history, description."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat

from kfdet.dataset.formats.limits import MAX_LABELS, MAX_SIDE, MAX_YAML_BYTES
from kfdet.errors import InputError
from kfdet.files import REMAKE, parse_json, read_json_as, read_whole
from kfdet.training.history import HISTORY_FILE

DESCRIPTION_FILE = "model.json"
_EXPERIMENT = "experiment.yaml"
_WEIGHTS = "weights"
_MOST_SHAPES = 100
"""Of anchors in a place, far above what a network has."""


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
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    labels: Annotated[tuple[str, ...], Field(max_length=MAX_LABELS)]
    step: NonNegativeInt
    seed: NonNegativeInt
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
    """The description in `folder`.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_json_as(folder / DESCRIPTION_FILE, Description, hint=REMAKE)


def read_experiment(folder: Path) -> dict[str, Any]:
    """The experiment configuration in `folder`, as nested dictionaries.

    Raises:
        InputError: It is missing or damaged.
    """
    path = folder / _EXPERIMENT
    try:
        experiment: dict[str, Any] = yaml.safe_load(read_whole(path, MAX_YAML_BYTES))
        text = json.dumps(experiment, default=str).encode()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path, hint=REMAKE) from error
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise InputError("is not what kfdet wrote.", file=path, hint=REMAKE) from error
    parse_json(text, _Experiment, path, hint=REMAKE)
    return experiment


@dataclass(frozen=True, slots=True)
class _Anchor:
    num_scales: Annotated[int, Field(ge=1, le=_MOST_SHAPES)]
    aspect_ratios: Annotated[list[PositiveFloat], Field(min_length=1, max_length=_MOST_SHAPES)]
    anchor_size: PositiveFloat


@dataclass(frozen=True, slots=True)
class _Model:
    anchor: _Anchor


@dataclass(frozen=True, slots=True)
class _Task:
    model: _Model


@dataclass(frozen=True, slots=True)
class _Experiment:
    """What a reader of the configuration may rely on; the rest is Model Garden's."""

    task: _Task


def weights_prefix(folder: Path) -> str:
    """Path of the weights, as TensorFlow's checkpoint reader takes it."""
    return str(folder / _WEIGHTS)
