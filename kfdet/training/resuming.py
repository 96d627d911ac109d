"""What a training run is called, and how a longer training continues a shorter one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kfdet.errors import InputError, PlaceError
from kfdet.events import warn
from kfdet.parameters import TrainingSettings
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.download import fetch
from kfdet.storage.listing import entries, list_folders
from kfdet.storage.store import Store
from kfdet.training import starting_point
from kfdet.training.checkpoints import CHECKPOINT_STATE, named_step, write_state
from kfdet.training.history import HISTORY_FILE, read_history
from kfdet.training.model_folder import package_versions

TRAINER = 4
"""Raise it with every change to what the same records, settings and seed train, so that no training
continues, or ends with, a checkpoint of an older trainer. Releases differ by themselves."""

_STEPS = "-steps-"


def run_name(settings: TrainingSettings, seed: int, digest: str, gpus: int) -> str:
    """A readable folder name for checkpoints and logs, the same for the same training.

    Another release of kfdet, TensorFlow or Model Garden trains something else.

    Args:
        settings: What to train.
        seed: Seed of weights, order and augmentation.
        digest: Digest of the records.
        gpus: How many GPUs train; input size, batch and steps are fitted to them.
    """
    # None of these changes what a step does.
    same = dataclasses.replace(
        settings,
        steps=0,
        early_stop=0,
        deadline="",
        cache_gb=0,
        pretrained=starting_point.identity(settings.pretrained),
    )
    trainer = [TRAINER, package_versions()]
    identity = json.dumps([digest, dataclasses.asdict(same), seed, gpus, trainer])
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


def take_over(earlier: Sequence[str], checkpoints: Path, steps: int) -> None:
    """Let an empty checkpoint folder begin with the state of the longest shorter training.

    Batches follow from seed and step, so the longer training would have seen the same ones. Its
    learning rate falls over more steps: where it takes over, the rate rises again to the longer
    schedule's value (a warm restart) and falls from there.

    A shorter training that still goes on may replace or remove what is being copied, and what is
    there may be damaged: then this one does not continue it, with a warning.

    Args:
        earlier: As `earlier_runs` gives it.
        checkpoints: Checkpoint folder of the new training.
        steps: Its last step.
    """
    with tempfile.TemporaryDirectory(prefix="kfdet-earlier-") as scratch:
        found = []
        for number, place in enumerate(earlier):
            with _left_out_if_unusable(place):
                folder = _local(place, Path(scratch, str(number)), (CHECKPOINT_STATE, HISTORY_FILE))
                if 0 < read_history(folder).parameters.get("steps", 0) < steps:
                    found.append((named_step(folder), place))
        step, place = max(found, default=(0, ""))
        if 0 < step < steps:
            with _left_out_if_unusable(place):
                _copy(_local(place, Path(scratch, "chosen")), checkpoints, step)


@contextmanager
def _left_out_if_unusable(place: str) -> Iterator[None]:
    """Warn where the block does not find the files that it knows of, or finds damaged ones."""
    try:
        yield
    except (FileNotFoundError, PlaceError):
        warn(f"{place} changes just now: this training does not continue it.")
    except InputError as error:
        warn(f"{place} {error.problem} This training does not continue it.")


def _local(place: str, scratch: Path, names: Collection[str] = ()) -> Path:
    """The folder itself, or a copy of what is in the bucket: of `names` only, where given."""
    if not is_bucket_uri(place):
        return Path(place)
    location = BucketPath.parse(place)
    with Store(place) as store:
        found = [each for each in entries(store, location) if not names or each.name in names]
        fetch(store, location.bucket, found, scratch)
    return scratch


def _copy(source: Path, target: Path, step: int) -> None:
    """Copy the checkpoint of one step; FileNotFoundError where it is not there as a whole."""
    name = f"ckpt-{step}"
    (target / "best").mkdir(parents=True, exist_ok=True)
    for part in [*source.glob(f"{name}.data-*"), *source.glob("best/weights.*")]:
        shutil.copyfile(part, target / part.relative_to(source))
    # TensorFlow removes it first: while it is there, so were the parts above.
    shutil.copyfile(source / f"{name}.index", target / f"{name}.index")
    history = read_history(source)
    history.continued_from = step
    history.begin(target)
    # Last: without this file there is no checkpoint to continue from.
    write_state(target, [step])
