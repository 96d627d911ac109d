"""One process at a time for a folder in a bucket, also where a process is killed.

The owner keeps a small object in the folder and changes it every few seconds. Whoever has seen it
unchanged for long enough takes the folder over, so that no clock is compared with another one. Of
two that write at the same moment a condition on the request chooses one (If-None-Match, If-Match:
Amazon S3, MinIO, Ceph). A store that ignores conditions keeps what was written last: there, the
owner looks after a while whether that was its own.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kfdet.errors import KfdetError
from kfdet.events import warn
from kfdet.storage.address import BucketPath
from kfdet.storage.store import Store, StoreError

LEASE_NAME = ".lease"
"""The object below the folder; hidden, so that nothing else copies it."""

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 45.0
_POLL_SECONDS = 2.0
_SETTLING_SECONDS = 2.0
_SHORT_RETRY_SECONDS = 3.0  # the next beat tries again

_REFUSED = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404"))
_UNKNOWN = frozenset(("NotImplemented", "NotSupported"))


class LeaseLostError(KfdetError):
    """Another process has taken the folder over."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The object as it is: who wrote it, and what changes with each beat."""

    owner: str
    etag: str


@contextmanager
def leased(uri: str) -> Iterator[Lease]:
    """Wait until no other process uses the folder `uri`, and keep it until the block ends.

    Args:
        uri: A folder in a bucket that exists.

    Raises:
        InputError: The store refuses.
        StoreUnavailableError: It stopped answering.
    """
    with Store(uri) as store:
        lease = Lease(store, BucketPath.parse(uri))
        lease.acquire()
        store.retry_seconds = _SHORT_RETRY_SECONDS
        beating = threading.Thread(target=lease.keep, name="lease", daemon=True)
        beating.start()
        try:
            yield lease
        finally:
            lease.ended.set()
            beating.join()
            lease.release()


class Lease:
    """The right to use a folder; see the module's description.

    Args:
        store: Where it is; used by this object alone.
        folder: The folder.
    """

    def __init__(self, store: Store, folder: BucketPath) -> None:
        self.ended = threading.Event()
        self._store, self._bucket = store, folder.bucket
        self._key = folder.key(LEASE_NAME)
        self._owner = f"{socket.gethostname()} {uuid.uuid4().hex[:8]}"
        self._beats = 0
        self._etag = ""
        self._kept = 0.0
        self._lost = ""
        self._conditional = True
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Wait until the folder is free, or its owner has not been heard of for a while."""
        seen, since, warned = "", 0.0, False
        while True:
            asked = time.monotonic()
            found = self._read()
            now = time.monotonic()
            # in an outage the owner could not write either
            if found and (found.etag != seen or now - asked > BEAT_SECONDS):
                seen, since = found.etag, now
            if found is None or now - since >= EXPIRY_SECONDS:
                if self._put(found.etag if found else "") and self._is_alone():
                    return
                continue
            if not warned:
                warned = True
                warn(
                    f"{self._store.uri} is in use by {found.owner.split()[0]}, which does the "
                    "same: waiting until it ends."
                )
            time.sleep(_POLL_SECONDS)

    def keep(self) -> None:
        """Write the object again every few seconds until `ended` is set."""
        while not self.ended.wait(BEAT_SECONDS):
            with suppress(KfdetError):  # an outage; others wait for its end, too
                self._beat()

    def check(self) -> None:
        """Find out whether the folder is still this process's own.

        Raises:
            LeaseLostError: It is another one's.
            StoreUnavailableError: The store does not answer.
        """
        if not self._lost and time.monotonic() - self._kept > EXPIRY_SECONDS:
            self._beat()  # this process was stopped for a while
        if self._lost:
            raise LeaseLostError(
                f"{self._store.uri} was taken over by {self._lost}, because this process had not "
                f"been heard of for {EXPIRY_SECONDS:.0f} seconds."
            )

    def release(self) -> None:
        """Leave the folder to others."""
        with suppress(KfdetError):
            if not self._lost and self._is_own(self._read()):
                client = self._store.client
                self._store.call_with_retries(client.remove_object, self._bucket, self._key)

    def _beat(self) -> None:
        with self._lock:
            if self._conditional and self._put(self._etag):
                return
            found = self._read()
            if found and not self._is_own(found):
                self._lost = found.owner.split()[0]
            else:
                self._put(found.etag if found else "")

    def _is_alone(self) -> bool:
        """Whether the object that was just written is the one that stays."""
        try:
            self._send({"IfNoneMatch": "*"})
        except StoreError as error:
            if error.code in _REFUSED:
                return True
            if error.code not in _UNKNOWN:
                raise
        self._conditional = False
        time.sleep(_SETTLING_SECONDS)
        return self._is_own(self._read())

    def _is_own(self, found: _Found | None) -> bool:
        return found is not None and found.owner == self._owner

    def _read(self) -> _Found | None:
        def get() -> _Found:
            client = self._store.multipart_client
            answer = client.get_object(Bucket=self._bucket, Key=self._key)
            with suppress(ValueError, AttributeError):
                content = json.loads(answer["Body"].read())
                return _Found(str(content.get("owner", "")) or "somebody", answer["ETag"])
            return _Found("somebody", answer["ETag"])

        try:
            return self._store.call_with_retries(get)
        except StoreError as error:
            if error.code in _REFUSED:
                return None
            raise

    def _put(self, etag: str) -> bool:
        """Write the object in place of the one with this ETag, or of none; whether that worked."""
        self._beats += 1
        try:
            try:
                answer = self._send({"IfMatch": etag} if etag else {"IfNoneMatch": "*"})
            except StoreError as error:
                if error.code not in _UNKNOWN:
                    raise
                answer = self._send({})
        except StoreError as error:
            if error.code not in _REFUSED:
                raise
            found = self._read()  # perhaps an answer was lost, and the request came twice
            if found is None or not self._is_own(found):
                return False
            self._etag = found.etag
        else:
            self._etag = str(answer["ETag"])
        self._kept = time.monotonic()
        return True

    def _send(self, conditions: dict[str, str]) -> Any:
        body = json.dumps({"owner": self._owner, "beat": self._beats}).encode()
        return self._store.call_with_retries(
            self._store.multipart_client.put_object,
            Bucket=self._bucket,
            Key=self._key,
            Body=body,
            ContentType="application/json",
            **conditions,
        )
