"""The checkpoints of one training: which is the newest, and which of them can be read."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf

from kfdet.events import warn
from kfdet.files import atomic_file
from kfdet.training.history import HISTORY_FILE, START_FILE

CHECKPOINT_STATE = "checkpoint"
"""The file that names the newest checkpoint; TensorFlow writes it last."""

DAMAGE = (tf.errors.OpError, LookupError, ValueError, RuntimeError)
"""What TensorFlow raises for a checkpoint that is damaged, or of which a part is missing."""

_NAME = re.compile(r"ckpt-(\d{1,15})")


def latest_step(folder: Path) -> int:
    """Step of the newest checkpoint in the folder, 0 without one."""
    step = named_step(folder)
    return step if (folder / f"ckpt-{step}.index").exists() else 0


def named_step(folder: Path) -> int:
    """Step of the checkpoint that the state file names, whether or not that is there; or 0."""
    return max(_named(folder) or [0])


def write_state(folder: Path, steps: list[int]) -> None:
    """Name the checkpoints of `steps`, in ascending order, as those that are there."""
    lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"']
    lines += [f'all_model_checkpoint_paths: "ckpt-{step}"' for step in steps]
    with atomic_file(folder / CHECKPOINT_STATE) as path:
        path.write_text("".join(f"{line}\n" for line in lines))


def leave_out_damaged(folder: Path) -> None:
    """Remove the checkpoints that cannot be read, so that an older one counts; warn of newer ones.

    Where no other is left, the training begins anew.

    Raises:
        OSError: One cannot be opened; none is removed.
    """
    if not (folder / CHECKPOINT_STATE).exists():
        return
    there = sorted(int(match[1]) for p in folder.iterdir() if (match := _index(p)))
    whole = [step for step in there if is_whole(folder / f"ckpt-{step}")]
    named = _named(folder)
    newest = whole[-1] if whole else 0
    for step in sorted({*there, *(named or [])} - {*whole}):
        if step > newest:
            rest = f"continues at step {newest}" if whole else "begins anew"
            warn(f"The checkpoint of step {step} is damaged or not complete: training {rest}.")
        for part in folder.glob(f"ckpt-{step}.*"):
            part.unlink()
    if not whole:
        for name in (CHECKPOINT_STATE, HISTORY_FILE, START_FILE):
            (folder / name).unlink(missing_ok=True)
    elif named != whole:
        write_state(folder, whole)


def is_whole(prefix: Path) -> bool:
    """Whether every value of a checkpoint can be read; TensorFlow checks their CRC-32C.

    Raises:
        OSError: A file cannot be opened, which says nothing about what it holds.
    """
    for part in prefix.parent.glob(f"{prefix.name}.*"):
        part.open("rb").close()
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except DAMAGE:
        return False
    return True


def _index(path: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(path.stem) if path.suffix == ".index" else None


def _named(folder: Path) -> list[int] | None:
    """The steps that the state file names, the newest last; None where it is not as it should be.

    TensorFlow removes the oldest of the named checkpoints, wherever it is.
    """
    try:
        state = tf.train.get_checkpoint_state(str(folder))
    except ValueError:
        return None
    if state is None:
        return None
    names = [_NAME.fullmatch(Path(each).name) for each in state.all_model_checkpoint_paths]
    steps = [int(name[1]) for name in names if name]
    paths = [str(folder / f"ckpt-{step}") for step in steps]
    if not steps or [*state.all_model_checkpoint_paths, state.model_checkpoint_path] != [
        *paths,
        paths[-1],
    ]:
        return None
    return steps
