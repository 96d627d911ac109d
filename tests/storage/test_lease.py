"""Two processes that want one folder of a bucket, and what a killed one leaves."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.object_store import BUCKET, ObjectStore
from support.patience import wait_until

from kfdet.errors import KfdetError
from kfdet.events import listening
from kfdet.storage import lease
from kfdet.storage.lease import LEASE_NAME, LeaseLostError, leased
from kfdet.storage.mirroring import mirrored

ROOT = f"minio://{BUCKET}/checkpoints"
URI = f"{ROOT}/run"
KEY = f"checkpoints/run/{LEASE_NAME}"


@pytest.fixture
def store(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store with a bucket, and leases that are renewed often and never expire."""
    object_store.client.make_bucket(BUCKET)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 3600.0)
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.02)
    return object_store


@pytest.fixture
def expiring(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store whose leases expire soon; no answer of it is so late that it counts as an outage."""
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.6)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3600.0)
    return store


@pytest.fixture
def renewed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until the owner has looked at its lease at least once from now on."""
    beat, beats = lease.Lease._beat, list[None]()

    def counted(self: lease.Lease) -> None:
        beat(self)
        beats.append(None)

    def wait() -> None:
        goal = len(beats) + 2  # one of them may have begun before
        wait_until(lambda: len(beats) >= goal)

    monkeypatch.setattr(lease.Lease, "_beat", counted)
    return wait


@pytest.fixture
def forgetful(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store that ignores conditions."""
    send = lease.Lease._send
    monkeypatch.setattr(lease.Lease, "_send", lambda self, _: send(self, {}))
    return store


def overlaps(workers: int) -> list[int]:
    """How many held the lease at each moment at which somebody got it."""
    inside: list[int] = []
    seen: list[int] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with leased(URI):
                inside.append(number)
                seen.append(len(inside))
                time.sleep(0.3)
                seen.append(len(inside))
                inside.remove(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return seen


def test_one_at_a_time(store: ObjectStore) -> None:
    assert overlaps(4) == [1] * 8
    assert store.objects() == {}


def test_one_at_a_time_where_a_store_ignores_conditions(forgetful: ObjectStore) -> None:
    assert overlaps(2) == [1] * 4
    assert forgetful.objects() == {}


def test_who_waits_says_so(store: ObjectStore) -> None:
    messages: list[str] = []
    with leased(URI):
        holder = json.loads(store.objects()[KEY])["owner"].split()[0]
        waiting = threading.Thread(target=lambda: enter(messages))
        waiting.start()
        wait_until(lambda: messages)
    waiting.join()
    assert messages == [
        f"{URI} is in use by {holder}, which does the same: waiting until it ends.",
        "entered",
    ]


def enter(messages: list[str]) -> None:
    with listening(lambda event: messages.append(event["message"])), leased(URI):
        messages.append("entered")


KILLED = """
import sys, time
from kfdet.storage import lease
lease.BEAT_SECONDS = 0.1
with lease.leased(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_owner_is_followed_after_a_while(expiring: ObjectStore) -> None:
    command = [sys.executable, "-c", KILLED, URI]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        process.kill()
    assert KEY in expiring.objects()
    started = time.monotonic()
    with leased(URI):
        assert time.monotonic() - started >= 0.6
    assert expiring.objects() == {}


def take(store: ObjectStore) -> None:
    body = json.dumps({"owner": "pod-2 x", "beat": 1}).encode()
    store.client.put_object(BUCKET, KEY, io.BytesIO(body), len(body))


def test_what_was_taken_over_is_not_written_to(
    store: ObjectStore, renewed: Callable[[], None]
) -> None:
    with pytest.raises(LeaseLostError, match=r"was taken over by pod-2"):
        write_while_taken(store, renewed)
    assert set(store.objects()) == {KEY}


def write_while_taken(store: ObjectStore, renewed: Callable[[], None]) -> None:
    with mirrored(ROOT, "run", resume="checkpoint", interval=3600) as folder:
        take(store)
        renewed()
        (folder / "checkpoint").write_text("ckpt-1")


def test_who_was_stopped_looks_before_it_writes(expiring: ObjectStore) -> None:
    with leased(URI) as held:
        held.check()
        take(expiring)
        time.sleep(0.7)
        with pytest.raises(LeaseLostError):
            held.check()


def test_an_outage_loses_nothing(expiring: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_SHORT_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    with leased(URI) as held:
        expiring.stop()
        time.sleep(0.8)
        with pytest.raises(KfdetError, match="has not answered"):
            held.check()
        expiring.start()
        held.check()
    assert expiring.objects() == {}


def test_a_lease_that_somebody_removed_is_written_again(
    store: ObjectStore, renewed: Callable[[], None]
) -> None:
    with leased(URI) as held:
        store.client.remove_object(BUCKET, KEY)
        renewed()
        held.check()
        assert KEY in store.objects()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}"])
def test_what_is_no_lease_expires_as_one(
    expiring: ObjectStore, content: Any, tmp_path: Path
) -> None:
    (tmp_path / LEASE_NAME).write_bytes(content)
    expiring.put(tmp_path, "checkpoints/run")
    with leased(URI):
        assert json.loads(expiring.objects()[KEY])["owner"]
