"""What lies under a prefix, and a digest of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kfdet.dataset.layout import is_dataset_file
from kfdet.errors import InputError
from kfdet.storage.address import Place, place_of
from kfdet.storage.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """One object.

    Args:
        name: Its key relative to the prefix.
        key: Its key.
        size: Its size in bytes.
        etag: Changes when its content changes.
    """

    name: str
    key: str
    size: int
    etag: str


def entries(store: Store, place: Place) -> list[Entry]:
    """The objects below `place`, sorted by name."""
    start = place.key("")
    return sorted(
        (
            Entry(found.object_name.removeprefix(start), found.object_name, found.size, found.etag)
            for found in store.do(
                lambda: list(store.client.list_objects(place.bucket, start, recursive=True))
            )
            if not found.is_dir
        ),
        key=lambda entry: entry.name,
    )


def dataset_version(uri: str) -> str:
    """A digest that changes when a file of the dataset at `uri` is added, removed or replaced.

    Name, size and ETag of each object: one request for a thousand of them, nothing is downloaded.

    Raises:
        InputError: There is nothing, or the store cannot be read.
    """
    digest = hashlib.sha256()
    with Store(uri) as store:
        found = [entry for entry in entries(store, place_of(uri)) if is_dataset_file(entry.name)]
    if not found:
        raise nothing_there(uri)
    for entry in found:
        digest.update(f"{entry.name}\0{entry.size}\0{entry.etag}\n".encode())
    return digest.hexdigest()[:16]


def nothing_there(uri: str) -> InputError:
    """The error that there is no object."""
    return InputError("holds nothing.", file=uri, hint="Check bucket and key.")
