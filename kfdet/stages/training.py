"""Training stage: TFRecords in, the best weights and their history out."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

from kfdet.events import warn
from kfdet.files import atomic_folder, hash_files
from kfdet.storage.mirroring import mirrored, unordered
from kfdet.training.history import HISTORY_FILE

CHECKPOINT_STATE = "checkpoint"
"""The file that names the newest checkpoint; TensorFlow writes it last."""

_EXAMPLES = "examples"


def train(
    records: str,
    model: str,
    *,
    network: str,
    checkpoint_root: str,
    tensorboard_root: str,
    input_size: str = "",
    steps: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    init_checkpoint: str = "",
    overrides: str = "",
    early_stop: int = 4,
    seed: int = 0,
    gpus: str = "0",
) -> str:
    """Train a detector on the folder `records`; write it to the folder `model`.

    Args:
        records: Folder of the TFRecord build.
        model: Folder to write.
        network: Name of the network.
        checkpoint_root: Folder or bucket URI for checkpoints; a killed run with the same data and
            parameters continues from what it finds there.
        tensorboard_root: Folder or bucket URI for TensorBoard logs.
        input_size: "HEIGHTxWIDTH", "" fits it to the dataset.
        steps: Training steps, 0 fits them.
        batch_size: Images a step, 0 fits it to the machine.
        learning_rate: Peak learning rate, 0 fits it.
        init_checkpoint: Checkpoint to start from.
        overrides: YAML over Model Garden's experiment configuration.
        early_stop: Validations without improvement before training stops.
        seed: Seed.
        gpus: How many GPUs were asked for; a warning tells when there are fewer.

    Returns:
        Folder or bucket URI of this run's TensorBoard logs.
    """
    from kfdet.training.networks import network as find_network
    from kfdet.training.settings import Settings

    settings = Settings(
        network=network,
        input_size=input_size,
        steps=int(steps),
        batch_size=int(batch_size),
        learning_rate=float(learning_rate),
        init_checkpoint=init_checkpoint,
        overrides=overrides,
        early_stop=int(early_stop),
        seed=int(seed),
    )
    find_network(network)
    from kfdet.training.run import find_gpus, train_detector

    # what Model Garden logs of its progress it prints, too: all of it stood twice in a pod's log
    logging.getLogger("absl").setLevel(logging.WARNING)
    found = find_gpus()
    if found < int(gpus):
        warn(
            f"GPUs asked for: {gpus}, seen by TensorFlow: {found}. Does the node run NVIDIA's "
            "driver and container runtime, and the pod the training image?"
        )
    digest = records_digest(Path(records))
    # with the GPUs, to which input size, batch and steps are fitted
    identity = json.dumps([digest, repr(settings), found])
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    name = f"{network}-{key}"
    with (
        atomic_folder(Path(model)) as folder,
        mirrored(
            checkpoint_root, name, rank=checkpoint_rank, resume=CHECKPOINT_STATE
        ) as checkpoints,
        mirrored(tensorboard_root, name) as tensorboard,
    ):
        scratch = checkpoints / _EXAMPLES
        scratch.mkdir(parents=True, exist_ok=True)
        train_detector(
            Path(records), folder, settings, digest, checkpoints, tensorboard, scratch, found
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


def records_digest(records: Path) -> str:
    """SHA-256 over names and bytes of all files that training reads."""
    return hash_files([*records.glob("*.tfrecord"), *records.glob("*.pbtxt")], records)
