"""Training stage: TFRecords in, the best weights and their history out."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from kfdet.deployment.starting import with_located_start
from kfdet.evaluation.validation import Validation
from kfdet.events import warn
from kfdet.files import atomic_folder
from kfdet.parameters import TrainingSettings
from kfdet.storage.mirroring import mirrored, unordered
from kfdet.storage.shards import open_records
from kfdet.training.checkpoints import CHECKPOINT_STATE
from kfdet.training.history import HISTORY_FILE
from kfdet.training.resuming import earlier_runs, run_name
from kfdet.training.run import find_gpus, train_detector

_EXAMPLES = "examples"


def train(
    records: Path,
    model: Path,
    settings: TrainingSettings,
    *,
    checkpoint_root: str,
    tensorboard_root: str,
    seed: int,
    gpus: int,
) -> str:
    """Train a detector on the folder `records`; write it to the folder `model`.

    Args:
        records: Folder of the TFRecord build.
        model: Folder to write.
        settings: What to train, and how.
        checkpoint_root: Folder or bucket URI for checkpoints; a killed run with the same data and
            parameters continues from what it finds there, and one with more steps continues the
            shorter one.
        tensorboard_root: Folder or bucket URI for TensorBoard logs.
        seed: Seed of initial weights, order and augmentation.
        gpus: How many GPUs were requested; finding fewer is a warning.

    Returns:
        Folder or bucket URI of this run's TensorBoard logs.

    Raises:
        InputError: The settings are out of their limits, or do not fit the records.
        KfdetError: Training diverged.
    """
    settings.check()
    settings = with_located_start(settings)
    # Model Garden logs and also prints its progress: a log would hold all of it twice
    logging.getLogger("absl").setLevel(logging.WARNING)
    found = find_gpus()
    if found < gpus:
        warn(
            f"GPUs requested: {gpus}, seen by TensorFlow: {found}. Does the node run NVIDIA's "
            "driver and container runtime, and the pod the training image?"
        )
    with open_records(records) as opened:
        digest = opened.digest()
        name = run_name(settings, seed, digest, found)
        with (
            atomic_folder(model) as folder,
            mirrored(
                checkpoint_root, name, rank=checkpoint_rank, resume=CHECKPOINT_STATE
            ) as checkpoints,
            mirrored(tensorboard_root, name) as tensorboard,
        ):
            scratch = checkpoints / _EXAMPLES
            scratch.mkdir(parents=True, exist_ok=True)
            train_detector(
                *(opened, folder, settings, seed, digest),
                *(checkpoints, tensorboard, scratch, found),
                validate=Validation.of(opened),
                earlier=earlier_runs(checkpoint_root, name),
            )
    if scratch.exists():
        shutil.rmtree(scratch)
    return f"{tensorboard_root.rstrip('/')}/{name}"


def checkpoint_rank(name: str) -> int | None:
    """When a file of the checkpoint folder is copied to a bucket; None: never.

    A run that was killed between two of these copies continues: the state file names a checkpoint
    only when that is there as a whole; and best weights that the history does not know come from a
    validation that is made again, because the history does not know it either.
    """
    if name.startswith(f"{_EXAMPLES}/") or "_temp/" in name or ".tmp" in name:
        return None
    if name == CHECKPOINT_STATE:
        return 1
    if name.startswith("best/"):
        return 2
    if name == HISTORY_FILE:
        return 3
    return unordered(name)
