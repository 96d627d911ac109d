"""`kfdet upload`: a dataset's folder into a bucket."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kfdet.dataset.layout import LAYOUT, find_files, is_dataset_file, is_media_file
from kfdet.errors import InputError
from kfdet.events import Progress
from kfdet.storage.address import Place, place_of
from kfdet.storage.listing import entries
from kfdet.storage.multipart import is_there, send, target_for
from kfdet.storage.store import CONNECTIONS, Store, StoreError

_FILES = 4  # read and hashed at a time; small ones are sent by the thread that read them


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did.

    Args:
        uri: Where the dataset is now.
        files: Number of its files.
        bytes: Their size together.
        skipped: Number of files that were there already.
        deleted: Names of objects that were there and are not in the folder; deleted.
        left: The same, not deleted: they are part of the dataset in the bucket.
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
    """Copy a dataset into a bucket, which is made where it is missing.

    Only what belongs to a dataset is copied. What is there already with the same size and checksum
    is skipped, and a large file that was interrupted continues with the parts that are missing.

    Args:
        folder: The dataset's folder.
        uri: minio://bucket/prefix or s3://bucket/prefix.
        delete: Delete what is under `uri` and not in the folder.

    Raises:
        InputError: There is no dataset, or the store refuses.
        AwayError: The store stopped answering; the same again continues.
    """
    started = time.monotonic()
    names = _dataset(folder)
    place = place_of(uri)
    total = sum((folder / name).stat().st_size for name in names)
    with Store(uri) as store:
        make_bucket(store, place.bucket)
        there = {entry.name: entry.size for entry in entries(store, place)}
        skipped = _Sending(store, folder, place, there, total).run(names)
        extra = tuple(name for name in there if name not in set(names) and is_dataset_file(name))
        for name in extra if delete else ():
            store.do(store.client.remove_object, place.bucket, place.key(name))
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
    """Make a bucket that is not there yet."""
    if store.do(store.client.bucket_exists, bucket):
        return
    try:
        store.do(store.client.make_bucket, bucket)
    except StoreError as error:
        if error.code != "BucketAlreadyOwnedByYou":  # somebody was quicker
            raise


def _dataset(folder: Path) -> list[str]:
    names = [name for name in find_files(folder) if is_dataset_file(name)]
    if not any(is_media_file(name) for name in names):
        raise InputError("holds no videos and no images.", file=folder, hint=LAYOUT)
    return names


class _Sending:
    """Sends files side by side, and counts the bytes that are in the bucket."""

    def __init__(
        self, store: Store, folder: Path, place: Place, there: dict[str, int], total: int
    ) -> None:
        self._store, self._folder, self._place, self._there = store, folder, place, there
        self._progress = Progress("upload", total, "bytes")
        self._parts = ThreadPoolExecutor(CONNECTIONS, "part")

    def run(self, names: Sequence[str]) -> int:
        """Send all that is not there yet; returns how many files were."""
        files = ThreadPoolExecutor(_FILES, "file")
        try:
            return sum([done.result() for done in [files.submit(self._send, n) for n in names]])
        except BaseException:
            self._store.close()  # the threads must not wait for a store that is away
            self._parts.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            files.shutdown(cancel_futures=True)
            self._parts.shutdown(cancel_futures=True)

    def _send(self, name: str) -> bool:
        """Whether the file was there already."""
        path = self._folder / name
        target = target_for(path, self._place.bucket, self._place.key(name))
        if self._there.get(name) == target.size and is_there(self._store, target):
            self._progress.advance(target.size)
            return True
        send(self._store, path, target, self._parts, self._progress.advance)
        return False
