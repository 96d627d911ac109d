"""Delete what is in a bucket."""

from __future__ import annotations

import io
import json
from typing import Any

from kfdet.storage.address import BucketPath
from kfdet.storage.listing import Entry, entries
from kfdet.storage.store import Store, StoreError


def size_of(uri: str) -> int:
    """Bytes of the object `uri` and of all objects below it; 0 where there are none.

    Raises:
        InputError: The store cannot be reached or refuses.
    """
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        return sum(each.size for each in _found(store, location))


def remove(uri: str) -> None:
    """Delete the object `uri` and all objects below it, if there are any.

    Raises:
        InputError: The store cannot be reached or refuses.
    """
    location = BucketPath.parse(uri)
    assert location.prefix, "never a whole bucket"
    with Store(uri) as store:
        for each in _found(store, location):
            store.call_with_retries(store.client.remove_object, location.bucket, each.key)


def _found(store: Store, location: BucketPath) -> list[Entry]:
    below = entries(store, location)
    try:
        own = store.call_with_retries(store.client.stat_object, location.bucket, location.prefix)
    except StoreError as error:
        if error.code not in ("NoSuchKey", "NoSuchObject"):
            raise
        return below
    return [Entry("", location.prefix, own.size, own.etag), *below]


def write_note(uri: str, content: Any) -> None:
    """Write a small JSON object."""
    location, data = BucketPath.parse(uri), json.dumps(content).encode()
    with Store(uri) as store:
        store.call_with_retries(
            lambda: store.client.put_object(
                location.bucket, location.prefix, io.BytesIO(data), len(data)
            )
        )
