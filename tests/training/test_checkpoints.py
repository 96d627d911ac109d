"""Checkpoints that are damaged: an older one counts, and without one training begins anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from kfdet.events import listening
from kfdet.training.checkpoints import (
    CHECKPOINT_STATE,
    is_whole,
    latest_step,
    leave_out_damaged,
    named_step,
)
from kfdet.training.history import HISTORY_FILE, History

STEPS = (8, 16)
DATA = "data-00000-of-00001"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of two steps."""
    folder = tmp_path_factory.mktemp("saved")
    values = tf.random.stateless_uniform([4000], [1, 2])
    checkpoint = tf.train.Checkpoint(value=tf.Variable(values))
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2)
    for step in STEPS:
        manager.save(checkpoint_number=step)
    History(steps=list(STEPS), loss=[2.0, 1.0]).begin(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def warnings_of(folder: Path) -> list[str]:
    said: list[str] = []
    with listening(lambda event: said.append(event["message"])):
        leave_out_damaged(folder)
    return said


def gone(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 255
    path.write_bytes(content)


DAMAGES = [gone, cut, emptied, flipped]


def test_whole_ones_stay_as_they_are(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert not warnings_of(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert latest_step(folder) == named_step(folder) == 16


@pytest.mark.parametrize("part", [DATA, "index"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_counts(damage: Callable[[Path], None], part: str, folder: Path) -> None:
    damage(folder / f"ckpt-16.{part}")
    assert warnings_of(folder) == [
        "The checkpoint of step 16 is damaged or not complete: training continues at step 8."
    ]
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-8")
    assert not list(folder.glob("ckpt-16.*"))
    assert not warnings_of(folder), "said once"


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_another_training_begins_anew(damage: Callable[[Path], None], folder: Path) -> None:
    for step in STEPS:
        damage(folder / f"ckpt-{step}.{DATA}")
    assert [message.rpartition(": ")[2] for message in warnings_of(folder)] == [
        "training begins anew."
    ] * len(STEPS)
    assert latest_step(folder) == 0
    assert not (folder / HISTORY_FILE).exists()


def test_an_older_one_that_is_gone_is_no_loss(folder: Path) -> None:
    for part in folder.glob("ckpt-8.*"):
        part.unlink()
    assert not warnings_of(folder)
    assert latest_step(folder) == 16


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\x00\xff garbage",
        b'model_checkpoint_path: "ckpt-1',
        b'model_checkpoint_path: "best/weights"\nall_model_checkpoint_paths: "best/weights"\n',
        b'model_checkpoint_path: "ckpt-16"\nall_model_checkpoint_paths: "../ckpt-8"\n'
        b'all_model_checkpoint_paths: "ckpt-16"\n',
        b'model_checkpoint_path: "/elsewhere/ckpt-9"\n',
    ],
)
def test_a_state_file_that_names_something_else(state: bytes, folder: Path) -> None:
    """TensorFlow would read, and in the end remove, what it names."""
    (folder / CHECKPOINT_STATE).write_bytes(state)
    assert not warnings_of(folder)
    found = tf.train.get_checkpoint_state(str(folder))
    assert list(found.all_model_checkpoint_paths) == [str(folder / f"ckpt-{s}") for s in STEPS]
    assert latest_step(folder) == 16


def test_what_cannot_be_opened_is_not_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.iterdir())

    def refuse(path: Path, _: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(PermissionError):
            leave_out_damaged(folder)
    assert sorted(folder.iterdir()) == before


def test_without_a_state_file_nothing_is_there_yet(folder: Path) -> None:
    (folder / CHECKPOINT_STATE).unlink()
    assert not warnings_of(folder)
    assert latest_step(folder) == 0
    assert is_whole(folder / "ckpt-16")
