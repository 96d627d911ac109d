"""A digest of a dataset, in a folder, a zip or a bucket, without reading its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from kfdet.dataset.layout import check_names, find_files, is_dataset_file
from kfdet.dataset.several import part_names, split_datasets
from kfdet.dataset.zipped import files_in_zip, is_zip
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.listing import entries, no_objects
from kfdet.storage.store import Store

_State = tuple[str, int, str]
"""Name and size of a file, and what changes when its content does."""


def fingerprint(dataset: str) -> str:
    """A digest that changes when a file of the dataset is added, removed, renamed or written.

    Of name and size of each file, and its ETag in a bucket (one request per thousand objects), its
    CRC-32 in a zip, or the time of its last change in a folder: gigabytes take milliseconds.

    Args:
        dataset: The dataset's folder, zip or bucket URI, or several, separated by commas.

    Raises:
        InputError: The folder is missing, there are no objects, or the store cannot be read.
    """
    return _digest(_states(dataset))


def outline(dataset: str) -> str:
    """A digest of the names and sizes of the dataset's files only: a copy has the same.

    Args:
        dataset: As for `fingerprint`.

    Raises:
        InputError: As for `fingerprint`.
    """
    return _digest(state[:2] for state in _states(dataset))


def _digest(parts: Iterable[tuple[object, ...]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update("\0".join(map(str, part)).encode() + b"\n")
    return digest.hexdigest()[:16]


def _states(dataset: str) -> list[_State]:
    """Of several datasets, names begin with the name of their dataset."""
    places = split_datasets(dataset)
    return [
        (f"{part}/{name}" if part else name, size, changed)
        for part, place in zip(part_names(places), places, strict=True)
        for name, size, changed in _states_of_one(place)
    ]


def _states_of_one(place: str) -> list[_State]:
    if is_bucket_uri(place):
        return _bucket_states(place)
    if is_zip(place):
        return [(name, size, f"{crc:08x}") for name, size, crc in files_in_zip(Path(place))]
    return _folder_states(Path(place))


def _bucket_states(uri: str) -> list[_State]:
    with Store(uri) as store:
        found = [
            (entry.name, entry.size, entry.etag)
            for entry in entries(store, BucketPath.parse(uri))
            if is_dataset_file(entry.name)
        ]
    if not found:
        raise no_objects(uri)
    return found


def _folder_states(root: Path) -> list[_State]:
    found = []
    names = find_files(root)
    check_names(root, names)
    for name in names:
        try:
            state = (root / name).stat()
        except FileNotFoundError:  # a dangling link
            continue
        if is_dataset_file(name):
            found.append((name, state.st_size, str(state.st_mtime_ns)))
    return found
