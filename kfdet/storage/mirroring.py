"""A folder that a long stage writes to, copied to a bucket meanwhile.

A pod may be killed at any moment, so what is in the bucket must always be something to continue
from. Each pass therefore takes all files at one moment (as hard links, which cost nothing) and
sends what is new in an order that its user chooses; what is gone is deleted last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType

from kfdet import events
from kfdet.errors import KfdetError
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.download import fetch
from kfdet.storage.lease import Lease, leased
from kfdet.storage.listing import entries
from kfdet.storage.multipart import send, target_for
from kfdet.storage.store import RETRY_SECONDS, Store
from kfdet.storage.upload import make_bucket

INTERVAL_SECONDS = 15.0
_POLL_SECONDS = 1.0
_SHORT_RETRY_SECONDS = 3.0  # a hiccup; a longer outage is a matter of the next copy
_TRIES = 20
_THREADS = 2  # training goes on meanwhile

Rank = Callable[[str], int | None]
"""The order in which a file of that name is sent, lower numbers first; None: never."""

Stamp = tuple[int, int]
"""Size and time of the last change, in bytes and nanoseconds."""


def unordered(name: str) -> int | None:
    """The rank of files that do not depend on each other; hidden ones are not copied."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return None if hidden else 0


@contextmanager
def mirrored(
    root: str,
    name: str,
    *,
    rank: Rank = unordered,
    resume: str = "",
    interval: float = INTERVAL_SECONDS,
) -> Iterator[Path]:
    """The folder `name` below `root`: itself, or a temporary one that is copied to a bucket.

    Copies are made in the background, every `interval` seconds. While the store is unreachable the
    work goes on and copying is tried again; at the end of the block it is waited for.

    A folder in a bucket that is resumed belongs to one process at a time: where another one works
    in it, that is waited for (see `kfdet.storage.lease`).

    Args:
        root: A folder, or the URI of one in a bucket.
        name: Its folder to work in.
        rank: The order of copying.
        resume: Where given, the folder begins with what is in the bucket; and a change of this file
            is copied at once.
        interval: Seconds between two copies.

    Raises:
        InputError: The bucket cannot be read or created.
        KfdetError: The last copy failed, or another process has taken the folder over.
    """
    if not is_bucket_uri(root):
        yield Path(root, name)
        return
    uri = f"{root.rstrip('/')}/{name}"
    location = BucketPath.parse(uri)
    with tempfile.TemporaryDirectory(prefix="kfdet-mirror-") as scratch, Store(uri) as store:
        make_bucket(store, location.bucket)
        with leased(uri) if resume else nullcontext() as lease:
            mirror = _Mirror(store, location, Path(scratch), rank, lease)
            if resume:
                mirror.fetch()
            urgent = mirror.folder / resume if resume else None
            with _Background(mirror, urgent, interval):
                yield mirror.folder


class _Mirror:
    """A folder and its copy in a bucket."""

    def __init__(
        self, store: Store, location: BucketPath, scratch: Path, rank: Rank, lease: Lease | None
    ) -> None:
        self.store, self.location, self._lease = store, location, lease
        self.folder, self._links = scratch / "folder", scratch / "links"
        self.folder.mkdir()
        self._rank = rank
        self._there: dict[str, Stamp] = {}

    def fetch(self) -> None:
        """Fill the folder with what is in the bucket."""
        found = [
            each for each in entries(self.store, self.location) if self._rank(each.name) is not None
        ]
        if found:
            fetch(self.store, self.location.bucket, found, self.folder)
        self._there = self._list()

    def copy(self) -> None:
        """Make the bucket equal to the folder.

        Raises:
            KfdetError: It failed; another call continues.
            LeaseLostError: The bucket's folder is another process's by now.
        """
        if self._lease:
            self._lease.check()
        try:
            found = self._link()
            with ThreadPoolExecutor(_THREADS, "mirror") as parts:
                for name in sorted(found, key=lambda each: (self._rank(each) or 0, each)):
                    if self._there.get(name) != found[name]:
                        key = self.location.key(name)
                        target = target_for(
                            self._links / name, self.location.bucket, key, grows=True
                        )
                        send(self.store, self._links / name, target, parts, lambda _: None)
                        self._there[name] = found[name]
            for name in sorted(each for each in self._there if each not in found):
                self.store.call_with_retries(
                    self.store.client.remove_object, self.location.bucket, self.location.key(name)
                )
                del self._there[name]
        finally:
            shutil.rmtree(self._links, ignore_errors=True)

    def _list(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                relative = path.relative_to(self.folder).as_posix()
                with suppress(FileNotFoundError):
                    if self._rank(relative) is not None:
                        state = path.stat()
                        found[relative] = (state.st_size, state.st_mtime_ns)
        return found

    def _link(self) -> dict[str, Stamp]:
        """The files of one moment, as links that stay when the files are replaced."""
        for _ in range(_TRIES):
            shutil.rmtree(self._links, ignore_errors=True)
            found = self._list()
            with suppress(FileNotFoundError):  # deleted just now
                for name in found:
                    link = self._links / name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(self.folder / name, link)
                if self._list() == found:
                    break
        return {name: stamp for name, stamp in found.items() if (self._links / name).exists()}


class _Background:
    """Copies in a thread while the block runs, and once more at its end."""

    def __init__(self, mirror: _Mirror, urgent: Path | None, interval: float) -> None:
        self._mirror, self._urgent, self._interval = mirror, urgent, interval
        self._seen = self._urgency()  # before the work begins
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def __enter__(self) -> None:
        self._mirror.store.retry_seconds = _SHORT_RETRY_SECONDS
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        if kind is not None:  # what there is may help to see why
            with suppress(KfdetError, OSError):
                self._mirror.copy()
            return
        self._mirror.store.retry_seconds = RETRY_SECONDS
        self._mirror.copy()

    def _work(self) -> None:
        due, failing = time.monotonic() + self._interval, False
        while not self._ending.wait(_POLL_SECONDS):
            urgency = self._urgency()
            if time.monotonic() < due and urgency == self._seen:
                continue
            try:
                self._mirror.copy()
            except (KfdetError, OSError) as error:
                if not failing:
                    events.warn(f"{error} The work goes on, and copying is tried again.")
                failing, due = True, time.monotonic() + _SHORT_RETRY_SECONDS
            else:
                if failing:
                    events.emit("info", message=f"{self._mirror.store.uri}: copied again")
                failing, self._seen, due = False, urgency, time.monotonic() + self._interval

    def _urgency(self) -> int:
        """Changes when the urgent file does."""
        try:
            return self._urgent.stat().st_mtime_ns if self._urgent else 0
        except FileNotFoundError:
            return 0
