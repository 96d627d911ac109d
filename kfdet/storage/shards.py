"""Records whose shards are in a bucket: single pictures come by requests of ranges."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from kfdet.errors import InputError
from kfdet.records.reading import ReadRange, Records, open_file
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.store import Store, StoreError

_GONE = frozenset(("NoSuchKey", "InvalidRange"))


def open_records(folder: Path) -> Records:
    """The records in a folder, wherever their shards are.

    Args:
        folder: Folder that the TFRecord build wrote.

    Raises:
        InputError: It is not such a folder, or one of an older version.
    """
    stores: dict[str, Store] = {}  # of a run, all shards are in one bucket

    def open_shard(place: str) -> ReadRange:
        if not is_bucket_uri(place):
            return open_file(Path(os.path.normpath(folder / place)))
        location = BucketPath.parse(place)
        if location.bucket not in stores:
            stores[location.bucket] = Store(place)
        return partial(_read, stores[location.bucket], location, place)

    return Records(folder, open_shard)


def _read(store: Store, location: BucketPath, uri: str, offset: int, length: int) -> bytes:
    """A range of an object; fewer bytes where it ends before."""
    try:
        data: bytes = store.call_with_retries(_get, store.client, location, offset, length)
    except StoreError as error:
        if error.code not in _GONE:
            raise
        raise InputError(
            "the shard is gone, or shorter than it was.", file=uri, hint="Build the records again."
        ) from error
    return data


def _get(client: Any, location: BucketPath, offset: int, length: int) -> bytes:
    response = client.get_object(location.bucket, location.prefix, offset, length)
    try:
        data: bytes = response.read()
        return data
    finally:
        response.close()
        response.release_conn()
