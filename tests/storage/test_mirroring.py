"""What is in the bucket while a folder is written to, and after a kill at any moment."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
import urllib3
from support.object_store import BUCKET, ObjectStore
from support.patience import SECONDS, wait_until

from kfdet.errors import InputError, KfdetError
from kfdet.stages.training import checkpoint_rank
from kfdet.storage import lease
from kfdet.storage.lease import LEASE_NAME
from kfdet.storage.mirroring import mirrored
from kfdet.training.resuming import CHECKPOINT_STATE

ROOT = f"minio://{BUCKET}/checkpoints"
PREFIX = "checkpoints/run/"


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whom a test kills are not waited for."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.3)
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.1)


def checkpoints(interval: float = 0.2) -> AbstractContextManager[Path]:
    return mirrored(ROOT, "run", rank=checkpoint_rank, resume=CHECKPOINT_STATE, interval=interval)


def save(folder: Path, step: int, keep: int = 2) -> None:
    """A checkpoint, its validation, and last the state file: its change makes a copy at once."""
    (folder / "best").mkdir(exist_ok=True)
    for name in (f"ckpt-{step}.data-00000-of-00001", f"ckpt-{step}.index"):
        (folder / f"{name}.tmp1").write_text(f"{name}")
        (folder / f"{name}.tmp1").rename(folder / name)
    for old in folder.glob(f"ckpt-{step - keep}.*"):
        old.unlink()
    (folder / "best/weights.index").write_text(f"best {step}")
    (folder / "history.json").write_text(f"history {step}")
    (folder / "checkpoint.tmp1").write_text(f"ckpt-{step}")
    (folder / "checkpoint.tmp1").rename(folder / "checkpoint")


def test_a_folder_is_itself(tmp_path: Path) -> None:
    with mirrored(str(tmp_path), "run") as folder:
        assert folder == tmp_path / "run"
        assert not folder.exists()


def test_nothing_there_and_nothing_written(object_store: ObjectStore) -> None:
    with checkpoints() as folder:
        assert list(folder.iterdir()) == []
    assert object_store.objects() == {}


def changes(store: ObjectStore) -> list[str]:
    """The requests so far that change something, by name."""
    wanted = (f"PUT {BUCKET}/{PREFIX}", f"DELETE {BUCKET}/{PREFIX}")
    found = [
        line.replace(f"{BUCKET}/{PREFIX}", "") for line in store.log if line.startswith(wanted)
    ]
    return [line for line in found if not line.endswith(LEASE_NAME)]


@pytest.mark.parametrize("step", [1, 3])
def test_the_order_of_copies_and_what_is_deleted(step: int, object_store: ObjectStore) -> None:
    expected = [
        f"PUT ckpt-{step}.data-00000-of-00001",
        f"PUT ckpt-{step}.index",
        "PUT checkpoint",
        "PUT best/weights.index",
        "PUT history.json",
    ]
    if step == 3:
        with checkpoints() as folder:
            save(folder, 1)
            save(folder, 2)
        expected += ["DELETE ckpt-1.data-00000-of-00001", "DELETE ckpt-1.index"]
    object_store.log.clear()
    with checkpoints(3600) as folder:
        (folder / "examples").mkdir()
        (folder / "examples/train.npy").write_text("large")
        (folder / ".history.json.x").write_text("half")
        save(folder, step)
        wait_until(lambda: len(changes(object_store)) >= len(expected))
    assert changes(object_store) == expected
    assert not folder.exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("requests", range(14))
def test_killed_at_any_moment(
    requests: int, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of requests that change something, what is there can be continued."""
    with checkpoints() as folder:
        save(folder, 1)
    allowed = [requests]
    original = urllib3.PoolManager.urlopen

    def urlopen(self, method, *args, **options):
        if method in ("PUT", "DELETE"):
            if not allowed[0]:
                raise KfdetError("the pod is gone")
            allowed[0] -= 1
        return original(self, method, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(urllib3.PoolManager, "urlopen", urlopen)
        for step in (2, 3):
            with suppress(Killed), checkpoints(3600) as folder:
                if (folder / "checkpoint").read_text() == f"ckpt-{step - 1}":
                    save(folder, step)
                raise Killed  # the last copy is made, or as much of it as is allowed
    with checkpoints() as folder:
        newest = (folder / "checkpoint").read_text()
        assert (folder / f"{newest}.index").read_text() == f"{newest}.index"
        assert (folder / f"{newest}.data-00000-of-00001").exists()
        step = int(newest.removeprefix("ckpt-"))
        best = int((folder / "best/weights.index").read_text().removeprefix("best "))
        history = int((folder / "history.json").read_text().removeprefix("history "))
        # Weights that the history does not know are those of the checkpoint, validated again.
        assert history <= best <= step
        assert best in (history, step)


def test_a_killed_run_continues_from_what_was_there(object_store: ObjectStore) -> None:
    with checkpoints() as folder:
        save(folder, 1)
        save(folder, 2)
    object_store.log.clear()
    with checkpoints() as folder:
        assert (folder / "checkpoint").read_text() == "ckpt-2"
        assert (folder / "ckpt-1.index").exists()
    assert changes(object_store) == []


def test_logs_that_grow(object_store: ObjectStore) -> None:
    root = f"minio://{BUCKET}/tensorboard"
    with mirrored(root, "run", interval=0.2) as folder:
        (folder / "train").mkdir()
        with (folder / "train/events.out").open("w") as log:
            for count in range(1, 4):
                log.write("x")
                log.flush()
                wanted = b"x" * count
                wait_until(
                    lambda w=wanted: (
                        object_store.objects("tensorboard/run/") == {"train/events.out": w}
                    )
                )
    with mirrored(root, "run", interval=0.2) as folder:
        assert list(folder.iterdir()) == []
        (folder / "train").mkdir()
        (folder / "train/events.later").write_text("y")
    assert object_store.objects("tensorboard/run/") == {
        "train/events.out": b"xxx",
        "train/events.later": b"y",
    }


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfdet.storage.mirroring._SHORT_RETRY_SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
def test_an_outage_loses_nothing_and_stops_nothing(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with checkpoints() as folder:
        save(folder, 1)
        wait_until(lambda: "PUT history.json" in changes(object_store))
        object_store.stop()
        save(folder, 2)
        wait_until(lambda: "copying is tried again" in caplog.text)
        save(folder, 3)
        object_store.start()
        wait_until(lambda: "copied again" in caplog.text)
        assert caplog.text.count("copying is tried again") == 1
        assert object_store.objects(PREFIX)["history.json"] == b"history 3"
        object_store.stop()
        save(folder, 4)
        threading.Timer(3, object_store.start).start()
    there = object_store.objects(PREFIX)
    assert there["checkpoint"] == b"ckpt-4"
    assert "ckpt-2.index" not in there


def _stop_and_save(store: ObjectStore, folder: Path) -> None:
    store.stop()
    save(folder, 1)


def _save_and_fail(folder: Path) -> None:
    save(folder, 1)
    raise KfdetError("diverged")


@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_copied_at_the_end_is_an_error(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfdet.storage.mirroring.RETRY_SECONDS", 1)
    try:
        with pytest.raises(KfdetError, match=r"has not answered"), checkpoints() as folder:
            _stop_and_save(object_store, folder)
    finally:
        object_store.start()


def test_a_failure_of_the_work_is_what_is_told(object_store: ObjectStore) -> None:
    with pytest.raises(KfdetError, match="diverged"), checkpoints(3600) as folder:
        _save_and_fail(folder)
    assert object_store.objects(PREFIX)["checkpoint"] == b"ckpt-1"


EVICTED = """
import sys, time
from pathlib import Path
from kfdet.components.__main__ import run_stage
from kfdet.files import atomic_folder
from kfdet.storage.mirroring import mirrored

def train():
    with atomic_folder(Path(sys.argv[1])), mirrored(sys.argv[2], "run", interval=3600) as folder:
        (folder / "checkpoint").write_text("ckpt-1")
        print("saved", flush=True)
        time.sleep(60)

sys.exit(run_stage("training", train))
"""


def test_an_evicted_pod_copies_once_more_and_leaves_nothing(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", EVICTED, str(tmp_path / "model"), ROOT]
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"saved\n"
        assert object_store.objects(PREFIX) == {}
        process.terminate()
        assert process.wait(SECONDS) == 143
    assert object_store.objects(PREFIX) == {"checkpoint": b"ckpt-1"}
    assert [path.name for path in tmp_path.rglob("*")] == ["scratch"]


def test_wrong_credentials_are_told_before_the_work(object_store: ObjectStore) -> None:
    object_store.check_credentials(strictly=True)
    try:
        with pytest.raises(InputError, match="refuses the credentials"), checkpoints():
            raise AssertionError("the work has begun")
    finally:
        object_store.check_credentials(strictly=False)
