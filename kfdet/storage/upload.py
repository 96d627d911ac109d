"""`kfdet upload`: a dataset's folder into a bucket."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kfdet.dataset.layout import (
    LAYOUT,
    check_names,
    find_files,
    is_dataset_file,
    is_media_file,
)
from kfdet.errors import InputError
from kfdet.events import Progress
from kfdet.storage.address import BucketPath
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.listing import entries
from kfdet.storage.multipart import is_uploaded, send, target_for
from kfdet.storage.store import Store, StoreError

_FILES = 4  # read and hashed at a time; small ones are sent by the thread that read them


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did.

    Args:
        uri: Where the dataset is now.
        files: Number of its files.
        bytes: Their total size.
        skipped: Number of those that were there already.
        deleted: Names of deleted objects: part of the dataset in the bucket, not of the folder.
        left: Names of such objects that were not deleted.
        seconds: How long it took.
    """

    uri: str
    files: int
    bytes: int
    skipped: int
    deleted: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float


def upload(folder: Path, uri: str, *, delete: bool = False) -> Uploaded:
    """Copy a dataset into a bucket, which is created if it does not exist.

    Copies only files of a dataset, skips those that are there with the same size and checksum, and
    continues an interrupted large file with the missing parts.

    Args:
        folder: The dataset's folder.
        uri: minio://bucket/prefix or s3://bucket/prefix.
        delete: Delete what is under `uri` and not in the folder.

    Raises:
        InputError: The folder is not a dataset, or the store refuses.
        StoreUnavailableError: The store stopped answering; another call continues.
    """
    started = time.monotonic()
    names = _dataset(folder)
    location = BucketPath.parse(uri)
    total = sum((folder / name).stat().st_size for name in names)
    with Store(uri) as store:
        make_bucket(store, location.bucket)
        there = {entry.name: entry.size for entry in entries(store, location)}
        skipped = _Uploader(store, folder, location, there, total).run(names)
        own = set(names)
        extra = tuple(name for name in there if name not in own and is_dataset_file(name))
        for name in extra if delete else ():
            store.call_with_retries(store.client.remove_object, location.bucket, location.key(name))
    return Uploaded(
        uri,
        len(names),
        total,
        skipped,
        deleted=extra if delete else (),
        left=() if delete else extra,
        seconds=round(time.monotonic() - started, 3),
    )


def make_bucket(store: Store, bucket: str) -> None:
    """Create a bucket if it does not exist."""
    if store.call_with_retries(store.client.bucket_exists, bucket):
        return
    try:
        store.call_with_retries(store.client.make_bucket, bucket)
    except StoreError as error:
        if error.code != "BucketAlreadyOwnedByYou":  # somebody was quicker
            raise


def _dataset(folder: Path) -> list[str]:
    names = [name for name in find_files(folder) if is_dataset_file(name)]
    check_names(folder, names)
    if not any(is_media_file(name) for name in names):
        raise InputError("contains neither videos nor images.", file=folder, hint=LAYOUT)
    return names


class _Uploader:
    """Sends files in parallel and counts the bytes that have arrived in the bucket."""

    def __init__(
        self, store: Store, folder: Path, location: BucketPath, there: dict[str, int], total: int
    ) -> None:
        self._store, self._folder, self._location, self._there = store, folder, location, there
        self._progress = Progress("upload", total, "bytes")
        self._parts = ThreadPoolExecutor(CONNECTIONS, "part")

    def run(self, names: Sequence[str]) -> int:
        """Send the missing files; returns how many were there already."""
        files = ThreadPoolExecutor(_FILES, "file")
        try:
            return sum([done.result() for done in [files.submit(self._send, n) for n in names]])
        except BaseException:
            self._store.close()  # the threads must not wait for an unreachable store
            self._parts.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            files.shutdown(cancel_futures=True)
            self._parts.shutdown(cancel_futures=True)

    def _send(self, name: str) -> bool:
        """Whether the file was there already."""
        path = self._folder / name
        target = target_for(path, self._location.bucket, self._location.key(name))
        if self._there.get(name) == target.size and is_uploaded(self._store, target):
            self._progress.advance(target.size)
            return True
        send(self._store, path, target, self._parts, self._progress.advance)
        return False
