"""From a bucket to a folder: parallel, and compared with the checksum of the upload."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress
from kfdet.files import atomic_file
from kfdet.storage.address import Place, place_of
from kfdet.storage.listing import Entry, entries, nothing_there
from kfdet.storage.multipart import CHECKSUM_HEADER, Crc32c
from kfdet.storage.store import CONNECTIONS, Store

_CHUNK = 1 << 20
_TRIES = 3


def download(uri: str, folder: Path) -> Path:
    """Copy an object, or all objects under a prefix, from a bucket into `folder`.

    Args:
        uri: minio://bucket/key or s3://bucket/key; also the common beginning of the files of a
            TensorFlow checkpoint.
        folder: Existing local folder.

    Returns:
        The file, or the folder that holds what was under the prefix.

    Raises:
        InputError: Nothing is there, the store cannot be reached or refuses the credentials.
        KfdetError: What arrives is not what was uploaded.
    """
    place = place_of(uri)
    with Store(uri) as store:
        root = folder / place.name
        below = entries(store, place)
        if below:
            fetch(store, place.bucket, below, root)
            return root
        beside = _siblings(store, place)
        if not beside:
            raise nothing_there(uri)
        fetch(store, place.bucket, beside, folder)
    return root


def _siblings(store: Store, place: Place) -> list[Entry]:
    """The object of that very key; else those that a TensorFlow checkpoint of that name is."""
    parent, _, name = place.prefix.rpartition("/")
    start = f"{parent}/" if parent else ""
    found = [
        Entry(each.object_name.removeprefix(start), each.object_name, each.size, each.etag)
        for each in store.do(lambda: list(store.client.list_objects(place.bucket, place.prefix)))
        if not each.is_dir
    ]
    exact = [entry for entry in found if entry.name == name]
    return exact or [entry for entry in found if entry.name.startswith(f"{name}.")]


def fetch(store: Store, bucket: str, found: Collection[Entry], folder: Path) -> None:
    """Copy objects into `folder` under their names, which may hold slashes.

    Raises:
        InputError: A name leaves the folder, or there is no room.
        KfdetError: What arrives is not what was uploaded.
    """
    for entry in found:
        if not (folder / entry.name).resolve().is_relative_to(folder.resolve()):
            raise InputError(f'object "{entry.name}" leaves the folder.', file=store.uri)
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(entry.size for entry in found)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(
            f"takes {total / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {folder.parent}.",
            file=store.uri,
            hint="Free some space, or set TMPDIR to a folder with more of it.",
        )
    progress = Progress("download", total, "bytes")
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for done in [
            pool.submit(_fetch_file, store, bucket, entry, folder / entry.name, progress.advance)
            for entry in found
        ]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch_file(
    store: Store, bucket: str, entry: Entry, target: Path, advance: Callable[[int], None]
) -> None:
    with atomic_file(target) as temporary:
        for _ in range(_TRIES):
            sums = store.do(_receive, store.client, bucket, entry.key, temporary, advance)
            if sums[0] == sums[1]:
                return
            advance(-temporary.stat().st_size)
        raise KfdetError(
            f"{store.uri}: object {entry.key} is not what was uploaded: its CRC32C is {sums[0]}, "
            f"the upload's was {sums[1]}. Upload it again."
        )


def _receive(
    client: Any, bucket: str, key: str, target: Path, advance: Callable[[int], None]
) -> tuple[str, str]:
    """CRC32C of what arrives, and of what was uploaded (the same where that is not known)."""
    crc, received = Crc32c(), 0
    response = client.get_object(bucket, key)
    try:
        with target.open("wb") as file:
            for chunk in response.stream(_CHUNK):
                file.write(chunk)
                crc.update(chunk)
                received += len(chunk)
                advance(len(chunk))
        return crc.text, response.headers.get(CHECKSUM_HEADER, crc.text)
    except BaseException:
        advance(-received)
        raise
    finally:
        response.close()
        response.release_conn()
