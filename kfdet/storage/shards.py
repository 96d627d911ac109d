"""Records whose shards are in a bucket: single pictures come by requests of ranges."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from cachetools import LRUCache, cached

from kfdet.errors import InputError
from kfdet.records.reading import ReadRange, Records, open_file
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.store import Store, StoreError

KEPT_BYTES = 256 << 20
"""Of pictures out of a bucket, where several models, or a model and a report, ask for the same."""

_GONE = frozenset(("NoSuchKey", "InvalidRange"))


def open_records(folder: Path, *, kept_bytes: int = 0) -> Records:
    """The records in a folder, wherever their shards are.

    Args:
        folder: Folder that the TFRecord build wrote.
        kept_bytes: How much of what came from a bucket stays in memory, for whoever asks for a
            picture more than once.

    Raises:
        InputError: It is not such a folder, or one of an older version.
    """
    stores: dict[str, Store] = {}  # of a run, all shards are in one bucket
    opening = Lock()  # a metadata service refuses many readers that ask it at once
    kept: LRUCache[tuple[Any, ...], bytes] = LRUCache(kept_bytes, getsizeof=len)
    keep = cached(kept, key=lambda store, *range_: range_, lock=Lock())(_read)

    def open_shard(place: str) -> ReadRange:
        if not is_bucket_uri(place):
            return open_file(Path(os.path.normpath(folder / place)))
        location = BucketPath.parse(place)
        with opening:
            if location.bucket not in stores:
                stores[location.bucket] = Store(place)
        return partial(keep, stores[location.bucket], place)

    return Records(folder, open_shard)


def _read(store: Store, uri: str, offset: int, length: int) -> bytes:
    """A range of an object; fewer bytes where it ends before."""
    location = BucketPath.parse(uri)
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
