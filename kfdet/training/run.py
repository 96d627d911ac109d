"""From TFRecords to trained weights: fit what was not given, then train."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras
import yaml
from official.modeling import hyperparams, performance

from kfdet.dataset.label_checks import mirrored_labels
from kfdet.errors import InputError
from kfdet.events import emit, warn
from kfdet.parameters import DEFAULT_START, NO_START, TrainingSettings, parse_input_size
from kfdet.records.reading import Records
from kfdet.training import networks
from kfdet.training.anchors import AnchorGrid
from kfdet.training.augmentation import Augmentation
from kfdet.training.batches import BatchMaker
from kfdet.training.checkpoints import is_whole, latest_step, leave_out_damaged
from kfdet.training.examples import ExampleSet, read_examples
from kfdet.training.fitting import AnchorShapes, Fit, fit_anchors, fit_input_size
from kfdet.training.history import HISTORY_FILE, read_history
from kfdet.training.model_folder import Description, package_versions, write_model
from kfdet.training.resuming import take_over
from kfdet.training.settings import fitted_rate, fitted_steps, validation_interval
from kfdet.training.tasks import build_task
from kfdet.training.trainer import BEST_PREFIX, Run
from kfdet.training.trainer import train as train_run
from kfdet.training.validation import Judge, Validate
from kfdet.training.warm_start import warm_start
from kfdet.training.weight_files import WeightFiles, open_start

_MIN_PIXELS = 160 * 256
_VALIDATION_BATCH = 8


def find_gpus() -> int:
    """How many GPUs TensorFlow sees; it takes their memory as it needs it, not all at once."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)


@dataclass(frozen=True)
class _Data:
    """The records."""

    labels: tuple[str, ...]
    training: ExampleSet
    validation: ExampleSet


@dataclass(frozen=True)
class _Fitted:
    """What was fitted to dataset and machine where the settings leave it open."""

    height: int
    width: int
    anchors: Fit
    schedule: networks.Schedule


@dataclass(frozen=True)
class _Start:
    """What training starts from, or what it started from where it continues.

    Args:
        pretrained: Whether its weights know something already.
        anchors: The anchors that they are trained for, where that is known.
        weights: The weights to read; None where they are random, or those of the last checkpoint.
    """

    pretrained: bool
    anchors: AnchorShapes | None
    weights: WeightFiles | None


def check_experiment(settings: TrainingSettings) -> None:
    """Find what Model Garden would refuse, before there is anything to train on.

    Raises:
        InputError: The input size does not fit the network, or the overrides its configuration.
    """
    entry = networks.network(settings.network)
    low, high = entry.levels
    size = (2**high, 2**high)
    if settings.input_size:
        size = _given_size(settings, entry)
    config = networks.experiment(
        entry,
        AnchorGrid(*size, low, high, num_scales=1, aspect_ratios=(1.0,), anchor_size=3.0),
        class_count=1,
        schedule=networks.Schedule(1, 1, entry.learning_rate, 1),
        mixed_precision=False,
    )
    _override(config, settings.overrides)


def train_detector(
    records: Records,
    model: Path,
    settings: TrainingSettings,
    seed: int,
    digest: str,
    checkpoints: Path,
    tensorboard: Path,
    scratch: Path,
    gpus: int,
    validate: Validate,
    earlier: Sequence[str] = (),
) -> None:
    """Train on `records` and fill the folder `model`.

    Args:
        records: The records.
        model: Folder to fill.
        settings: What to train.
        seed: Seed of initial weights, order and augmentation.
        digest: SHA-256 of the records, recorded in the model.
        checkpoints: Folder of this run's checkpoints; training continues from the newest.
        tensorboard: Folder of this run's TensorBoard logs.
        scratch: Folder for decoded examples.
        gpus: How many GPUs to train on; 0: on the CPU.
        validate: Measures the answers to the validation pictures: the best weights are kept.
        earlier: Checkpoint folders (or their bucket URIs) of trainings that differ in their steps
            only; without a checkpoint of its own, this one continues the longest shorter one.

    Raises:
        InputError: Parameters or records cannot be trained with.
        KfdetError: Training diverged.
    """
    strategy = _strategy(gpus)
    tf_keras.utils.set_random_seed(seed)
    performance.set_mixed_precision_policy("mixed_float16" if gpus else "float32")

    entry = networks.network(settings.network)
    height, width = _input_size(records, settings, entry, bool(gpus))
    leave_out_damaged(checkpoints)
    with _open_start(settings, checkpoints) as start:
        data = _read(records, height, width, scratch, settings.cache_gb)
        fitted = _Fitted(
            height,
            width,
            _anchors(data.training, height, width, entry, start),
            _schedule(settings, entry, start, len(data.training), gpus),
        )
        config = _experiment(settings, entry, fitted, data, bool(gpus))
        if not latest_step(checkpoints):
            take_over(earlier, checkpoints, config.trainer.train_steps)
            leave_out_damaged(checkpoints)
        history = read_history(checkpoints)
        best = history.best()
        if best and best["step"] > latest_step(checkpoints):
            # They took the place of the best ones of the steps up to this checkpoint.
            warn("The best weights so far are of a later step: only those from here on count.")
            history.val.clear()
        elif best and not is_whole(checkpoints / BEST_PREFIX):
            warn("The best weights so far are damaged or not complete: only later ones count.")
            history.val.clear()
        history.network = settings.network
        history.parameters = _parameters(settings, fitted, seed, gpus)
        _announce(settings, fitted, data, gpus)
        devices = strategy.num_replicas_in_sync
        places = (checkpoints, tensorboard)
        run = _run(settings, seed, entry, config, data, start, *places, devices, validate)
        train_run(run, history, strategy)
    best = history.best()
    assert best is not None
    description = Description(
        network=settings.network,
        two_stage=entry.two_stage,
        height=height,
        width=width,
        labels=data.labels,
        step=int(best["step"]),
        seed=seed,
        records=digest,
        versions=package_versions(),
        start=history.start,
    )
    write_model(model, description, config.as_dict(), checkpoints, BEST_PREFIX)


@contextmanager
def _open_start(settings: TrainingSettings, checkpoints: Path) -> Iterator[_Start]:
    """The start; where training continues, nothing is fetched or fitted anew."""
    if latest_step(checkpoints):
        before = read_history(checkpoints)
        try:
            scales, ratios, size = (before.parameters[name] for name in AnchorShapes._fields)
        except KeyError as error:
            raise InputError(
                "does not tell the anchors of this training.",
                file=checkpoints / HISTORY_FILE,
                hint="Remove its folder, and training begins anew.",
            ) from error
        anchors = AnchorShapes(scales, tuple(ratios), size)
        yield _Start(bool(before.start.get("parts")), anchors, None)
        return
    with open_start(settings) as weights:
        yield _Start(weights is not None, weights.anchors if weights else None, weights)


def _read(records: Records, height: int, width: int, scratch: Path, cache_gb: float) -> _Data:
    """Both sides; what does not fit into the cache is decoded anew for each step."""
    for left in scratch.glob("*.npy"):  # of an attempt that was killed: its room is free
        left.unlink()
    free = shutil.disk_usage(scratch).free
    budget = round(cache_gb * 1e9) or free // 2
    if budget > free:
        raise InputError(
            f"cache_gb is {cache_gb:g}, but only {free / 1e9:.1f} GB are free.",
            file=scratch,
            hint="Lower cache_gb: pictures beyond it are decoded as they are seen.",
        )
    size = (height, width)
    validation = read_examples(records, "val", *size, scratch / "val.npy", budget)
    if isinstance(validation.images, np.ndarray):
        budget -= validation.images.nbytes
    training = read_examples(records, "train", *size, scratch / "train.npy", budget)
    return _Data(records.labels, training, validation)


def _anchors(
    training: ExampleSet, height: int, width: int, entry: networks.Network, start: _Start
) -> Fit:
    objects = training.boxes[~training.crowds]
    sides = (objects[:, 2:] - objects[:, :2]).astype(np.float64)
    low, high = entry.levels
    return fit_anchors(sides, height, width, min_level=low, max_level=high, trained=start.anchors)


def _experiment(
    settings: TrainingSettings,
    entry: networks.Network,
    fitted: _Fitted,
    data: _Data,
    mixed_precision: bool,
) -> Any:
    """Model Garden's experiment configuration, with the user's overrides on top."""
    fit = fitted.anchors
    grid = AnchorGrid(
        *(fitted.height, fitted.width, *entry.levels),
        *(fit.num_scales, fit.aspect_ratios, fit.anchor_size),
    )
    config = networks.experiment(
        entry, grid, len(data.labels), fitted.schedule, mixed_precision=mixed_precision
    )
    _override(config, settings.overrides)
    return config


def _parameters(
    settings: TrainingSettings, fitted: _Fitted, seed: int, gpus: int
) -> dict[str, Any]:
    """What history.json records of a run, fitted values included."""
    return {
        **dataclasses.asdict(settings),
        **dataclasses.asdict(fitted.schedule),
        **dataclasses.asdict(fitted.anchors),
        "input_size": f"{fitted.height}x{fitted.width}",
        "seed": seed,
        "gpus": gpus,
        "anchors_mean_iou": fitted.anchors.mean_iou,
    }


def _announce(settings: TrainingSettings, fitted: _Fitted, data: _Data, gpus: int) -> None:
    schedule = fitted.schedule
    emit(
        "info",
        message=(
            f"{settings.network}, input {fitted.height}x{fitted.width}, {schedule.steps} steps of "
            f"{schedule.batch_size} images, learning rate {schedule.learning_rate:.2g}, "
            f"{len(data.training)} training and {len(data.validation)} validation examples, "
            f"{gpus or 'no'} GPU"
        ),
    )
    for text in mirrored_labels(data.labels, settings.mirror):
        warn(text)


def _run(
    settings: TrainingSettings,
    seed: int,
    entry: networks.Network,
    config: Any,
    data: _Data,
    start: _Start,
    checkpoints: Path,
    tensorboard: Path,
    devices: int,
    validate: Validate,
) -> Run:
    frozen = networks.frozen_parts(entry, settings.freeze)

    def initialize(network: Any) -> dict[str, Any]:
        if start.weights is None:
            return {"pretrained": NO_START}
        taken = warm_start(network, start.weights, data.labels, frozen)
        return {
            "pretrained": settings.pretrained or DEFAULT_START,
            "source": start.weights.source,
            "sha256": start.weights.sha256,
            "parts": taken.parts,
            "labels": taken.labels,
        }

    # Overrides may have moved the anchors and changed the batch.
    grid = AnchorGrid.of_model(config.task.model)
    batch_size = config.task.train_data.global_batch_size
    augmentation = Augmentation.of(settings)
    return Run(
        config=config,
        task=build_task(config, entry.two_stage, Judge(validate)),
        training=BatchMaker(data.training, grid, entry.two_stage, batch_size, seed, augmentation),
        validation=BatchMaker(
            data.validation, grid, entry.two_stage, _VALIDATION_BATCH * devices, seed, None
        ),
        labels=data.labels,
        checkpoints=checkpoints,
        tensorboard=tensorboard,
        early_stop=settings.early_stop,
        deadline=settings.deadline,
        initialize=initialize,
        frozen=frozen,
    )


def _strategy(gpus: int) -> tf.distribute.Strategy:
    if gpus > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def _input_size(
    records: Records, settings: TrainingSettings, entry: networks.Network, gpu: bool
) -> tuple[int, int]:
    if settings.input_size:
        return _given_size(settings, entry)
    examples = records.examples("train", ["height", "width"])
    images = np.stack([examples["height"].to_numpy(), examples["width"].to_numpy()], axis=1)
    return fit_input_size(
        images.astype(np.float64),
        _relative_box_sizes(records),
        min_pixels=_MIN_PIXELS,
        max_pixels=entry.max_pixels_gpu if gpu else entry.max_pixels_cpu,
        multiple=2 ** entry.levels[1],
    )


def _given_size(settings: TrainingSettings, entry: networks.Network) -> tuple[int, int]:
    multiple = 2 ** entry.levels[1]
    height, width = parse_input_size(settings.input_size)
    if height % multiple or width % multiple:
        raise InputError(
            f"input size {settings.input_size}: both sides must be multiples of {multiple} "
            f"for {settings.network}.",
            hint=f'Try "{round(height / multiple) * multiple}x'
            f'{round(width / multiple) * multiple}".',
        )
    return height, width


def _relative_box_sizes(records: Records) -> npt.NDArray[np.float64]:
    """(M, 2) heights and widths of the training boxes as shares of their image."""
    examples, objects = records.examples("train"), records.objects("train")
    owners = np.searchsorted(examples["source_id"].to_numpy(), objects["source_id"].to_numpy())
    heights, widths = (
        (objects[high].to_numpy() - objects[low].to_numpy())
        / (examples[high].to_numpy() - examples[low].to_numpy())[owners]
        for low, high in (("ymin", "ymax"), ("xmin", "xmax"))
    )
    return np.stack([heights, widths], axis=1)


def _schedule(
    settings: TrainingSettings, entry: networks.Network, start: _Start, examples: int, gpus: int
) -> networks.Schedule:
    fitted_batch = entry.batch_size_gpu * gpus if gpus else entry.batch_size_cpu
    batch_size = settings.batch_size or min(fitted_batch, max(1, examples))
    steps = settings.steps or fitted_steps(examples, batch_size, bool(gpus))
    rate = settings.learning_rate or fitted_rate(
        entry.learning_rate, batch_size, pretrained=start.pretrained
    )
    return networks.Schedule(steps, batch_size, rate, validation_interval(steps))


def _override(config: Any, text: str) -> None:
    if not text.strip():
        return
    try:
        values = yaml.safe_load(text)
        if not isinstance(values, dict):
            raise ValueError("not a mapping")
        hyperparams.override_params_dict(config, values, is_strict=True)
    except (KeyError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            f"overrides do not fit Model Garden's experiment configuration: {error}.",
            hint="Write YAML such as 'task: {model: {head: {num_filters: 96}}}'.",
        ) from error
