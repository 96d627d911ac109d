"""From a bucket to a folder: parallel, and compared with the listing and with checksums."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress
from kfdet.files import atomic_file
from kfdet.storage.address import BucketPath
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.listing import Entry, changed, entries, gone_if_missing, is_path, no_objects
from kfdet.storage.multipart import CHECKSUM_HEADER, Crc32c
from kfdet.storage.store import Store

_CHUNK = 1 << 20
_TRIES = 3
_DIGEST = re.compile("[0-9a-fA-F]{32}")


def download(uri: str, folder: Path) -> Path:
    """Copy an object, or all objects under a prefix, from a bucket into `folder`.

    Args:
        uri: minio://bucket/key or s3://bucket/key; also the common start of the names of a
            TensorFlow checkpoint's files.
        folder: Existing local folder.

    Returns:
        The file, or the folder with the objects below the prefix.

    Raises:
        InputError: There is no such object, or the store cannot be reached or refuses.
        KfdetError: An object arrives damaged.
    """
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        root = folder / location.name
        below = [entry for entry in entries(store, location) if is_path(entry.name, uri)]
        if below:
            fetch(store, location.bucket, below, root)
            return root
        beside = _siblings(store, location)
        if not beside:
            raise no_objects(uri)
        fetch(store, location.bucket, beside, folder)
    return root


def download_as(uri: str, target: Path) -> None:
    """Copy an object to the file `target`, or all objects below `uri` to the folder of that name.

    What is there with the same content already is not copied again, where the listing tells.

    Args:
        uri: minio://bucket/key or s3://bucket/key.
        target: Local path.

    Raises:
        InputError: There is no such object, or the store cannot be reached or refuses.
        KfdetError: An object arrives damaged.
    """
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        found = [
            replace(entry, name=f"{target.name}/{entry.name}") for entry in entries(store, location)
        ]
        if not found:
            own = [each for each in _siblings(store, location) if each.name == location.name]
            found = [replace(entry, name=target.name) for entry in own]
        if not found:
            raise no_objects(uri)
        missing = [entry for entry in found if not _is_here(target.parent / entry.name, entry)]
        if missing:
            fetch(store, location.bucket, missing, target.parent)


def _is_here(path: Path, entry: Entry) -> bool:
    """Whether a file has the content of an object; False where the ETag is not its MD5.

    The size does not tell: models of one network are of the same size, whatever they have learned.
    """
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == entry.etag.lower()


def is_there(uri: str) -> bool:
    """Whether `download` would find something at `uri`.

    Raises:
        InputError: The store cannot be reached or refuses.
    """
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        return bool(entries(store, location) or _siblings(store, location))


def _siblings(store: Store, location: BucketPath) -> list[Entry]:
    """The object with exactly that key, else the files of a TensorFlow checkpoint of that name."""
    parent, _, name = location.prefix.rpartition("/")
    start = f"{parent}/" if parent else ""
    found = [
        Entry(each.object_name.removeprefix(start), each.object_name, each.size, each.etag)
        for each in store.call_with_retries(
            lambda: list(store.client.list_objects(location.bucket, location.prefix))
        )
        if not each.is_dir
    ]
    exact = [entry for entry in found if entry.name == name]
    if exact or f"{name}.index" not in {entry.name for entry in found}:
        return exact
    return [entry for entry in found if entry.name.startswith(f"{name}.")]


def fetch(store: Store, bucket: str, found: Collection[Entry], folder: Path) -> None:
    """Copy objects into `folder` under their names, which may hold slashes.

    Raises:
        InputError: A name leads outside the folder, or the disk is too full.
        KfdetError: An object arrives damaged.
    """
    for entry in found:
        if not (folder / entry.name).resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f'object "{entry.name}" would be written outside the folder.', file=store.uri
            )
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(entry.size for entry in found)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(
            f"needs {total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free in "
            f"{folder.parent}.",
            file=store.uri,
            hint="Free some space, or set TMPDIR to a folder with more space.",
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
            with gone_if_missing(store, entry.name):
                damage = store.call_with_retries(_receive, store, bucket, entry, temporary, advance)
            if not damage:
                return
            advance(-temporary.stat().st_size)
        raise KfdetError(
            f"{store.uri}: object {entry.key} arrived damaged {_TRIES} times: {damage}. "
            "Upload it again."
        )


def _receive(
    store: Store, bucket: str, entry: Entry, target: Path, advance: Callable[[int], None]
) -> str:
    """What of the object that arrives is not as listed and uploaded; "" where all is.

    Raises:
        PlaceError: It is another object than the one that was listed.
    """
    crc, received = Crc32c(), 0
    response = store.client.get_object(bucket, entry.key)
    try:
        uploaded = response.headers.get(CHECKSUM_HEADER)
        tag = etag(response.headers)
        checked = not uploaded and is_md5(entry.etag, response.headers)
        digest = hashlib.md5(usedforsecurity=False) if checked else None
        with target.open("wb") as file:
            for chunk in response.stream(_CHUNK):
                file.write(chunk)
                crc.update(chunk)
                if digest:
                    digest.update(chunk)
                received += len(chunk)
                advance(len(chunk))
                if received > entry.size:
                    break
    except BaseException:
        advance(-received)
        raise
    finally:
        response.close()
        response.release_conn()
    damage = ""
    if received != entry.size:
        more = "more" if received > entry.size else f"{received:,}"
        damage = f"it has {more} bytes, {entry.size:,} are listed"
    elif uploaded and uploaded != crc.text:
        damage = f"its CRC32C is {crc.text}, that of the upload was {uploaded}"
    elif digest and digest.hexdigest() != entry.etag.lower():
        damage = f"its MD5 is {digest.hexdigest()}, the listing's ETag is {entry.etag}"
    if damage and entry.etag and tag != entry.etag:
        advance(-received)
        raise changed(store.uri, entry.name)
    return damage


def etag(headers: Any) -> str:
    """The ETag of an answer as a listing has it; a proxy that compresses marks it as weak."""
    return str(headers.get("ETag", "")).removeprefix("W/").strip('"')


def is_md5(etag: str, headers: Any) -> bool:
    """Whether an ETag is the MD5 of its object.

    It is not for objects of several parts, and where the headers say that the store encrypts.
    """
    encrypted = any(name.lower().startswith("x-amz-server-side-encryption") for name in headers)
    return not encrypted and bool(_DIGEST.fullmatch(etag))
