"""What a training run is called, and how a longer training continues a shorter one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import tensorflow as tf

from kfdet.parameters import TrainingSettings
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.download import download
from kfdet.storage.listing import list_folders
from kfdet.training.history import read_history

_STEPS = "-steps-"


def run_name(settings: TrainingSettings, seed: int, digest: str, gpus: int) -> str:
    """A readable folder name for checkpoints and logs, the same for the same training.

    Args:
        settings: What to train.
        seed: Seed of weights, order and augmentation.
        digest: Digest of the records.
        gpus: How many GPUs train; input size, batch and steps are fitted to them.
    """
    # Neither the last step nor the patience changes what a step does.
    same = dataclasses.replace(settings, steps=0, early_stop=0)
    identity = json.dumps([digest, dataclasses.asdict(same), seed, gpus])
    key = hashlib.sha256(identity.encode()).hexdigest()[:8]
    parts = [
        settings.network,
        settings.input_size,
        f"batch-{settings.batch_size}" if settings.batch_size else "",
        f"rate-{settings.learning_rate:g}" if settings.learning_rate else "",
        f"seed-{seed}" if seed else "",
        f"{settings.steps or 'fitted'}{_STEPS}{key}",
    ]
    return "-".join(part for part in parts if part)


def earlier_runs(root: str, name: str) -> list[str]:
    """Checkpoint folders below `root` of trainings that differ from `name` in their steps only.

    Args:
        root: Folder or bucket URI of all checkpoints.
        name: As `run_name` gives it.
    """
    start, _, key = name.rpartition(_STEPS)
    start = start.rpartition("-")[0]
    if is_bucket_uri(root):
        names = list_folders(root)
    else:
        folder = Path(root)
        names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [
        f"{root.rstrip('/')}/{other}"
        for other in names
        if other != name and other.startswith(f"{start}-") and other.endswith(f"{_STEPS}{key}")
    ]


def latest_step(checkpoints: Path) -> int:
    """Step of the newest checkpoint in the folder, 0 without one."""
    newest = tf.train.latest_checkpoint(str(checkpoints))
    return int(newest.rsplit("-", 1)[1]) if newest else 0


def take_over(earlier: Sequence[str], checkpoints: Path, steps: int) -> None:
    """Let an empty checkpoint folder begin with the state of the longest shorter training.

    Batches follow from seed and step, so the longer training would have seen the same ones. Its
    learning rate falls over more steps: where it takes over, the rate rises again to the longer
    schedule's value (a warm restart) and falls from there.

    Args:
        earlier: As `earlier_runs` gives it.
        checkpoints: Checkpoint folder of the new training.
        steps: Its last step.
    """
    with tempfile.TemporaryDirectory(prefix="kfdet-earlier-") as scratch:
        folders = [_local(place, Path(scratch, str(i))) for i, place in enumerate(earlier)]
        found = [
            (latest_step(folder), folder)
            for folder in folders
            if 0 < read_history(folder).parameters.get("steps", 0) < steps
        ]
        step, folder = max(found, default=(0, Path()))
        if 0 < step < steps:
            # Another process may be removing its older checkpoints just now.
            with suppress(FileNotFoundError):
                _copy(folder, checkpoints, step)


def _local(place: str, scratch: Path) -> Path:
    if not is_bucket_uri(place):
        return Path(place)
    scratch.mkdir()
    return download(place, scratch)


def _copy(source: Path, target: Path, step: int) -> None:
    (target / "best").mkdir(parents=True, exist_ok=True)
    for part in [*source.glob("ckpt-*"), *source.glob("best/weights.*")]:
        shutil.copyfile(part, target / part.relative_to(source))
    history = read_history(source)
    history.continued_from = step
    history.write(target)
    # Last: without this file there is no checkpoint to continue from.
    shutil.copyfile(source / "checkpoint", target / "checkpoint")
