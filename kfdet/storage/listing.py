"""The objects under a prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from kfdet.errors import InputError, PlaceError
from kfdet.events import warn
from kfdet.storage.address import BucketPath
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.store import Store, StoreError


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


def entries(store: Store, location: BucketPath) -> list[Entry]:
    """The objects below `location`, sorted by name."""
    start = location.key("")
    return sorted(
        (
            Entry(found.object_name.removeprefix(start), found.object_name, found.size, found.etag)
            for found in store.call_with_retries(
                lambda: list(store.client.list_objects(location.bucket, start, recursive=True))
            )
            if not found.is_dir
        ),
        key=lambda entry: entry.name,
    )


def named_entries(store: Store, location: BucketPath, names: Collection[str]) -> list[Entry]:
    """The objects of these names below `location`, sorted by name: one request for each.

    Raises:
        PlaceError: One is missing.
    """

    def look_up(name: str) -> Entry | None:
        key = location.key(name)
        try:
            found = store.call_with_retries(store.client.stat_object, location.bucket, key)
        except StoreError as error:
            if error.code == "NoSuchKey":
                return None
            raise
        return Entry(name, key, found.size, found.etag)

    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        looked_up = [(name, pool.submit(look_up, name)) for name in sorted(names)]
        found = [(name, future.result()) for name, future in looked_up]
    finally:
        pool.shutdown(cancel_futures=True)
    missing = [name for name, entry in found if entry is None]
    if missing:
        count = f"{len(missing)} of {len(found)} files are missing" if len(missing) > 1 else ""
        raise gone(store.uri, missing[0], count)
    return [entry for _, entry in found if entry is not None]


def gone(uri: str, name: str, more: str = "") -> PlaceError:
    """The error for an object that was listed, in this run or an earlier one."""
    return PlaceError(
        f"{name} is no longer in the bucket{more and f' ({more})'}.",
        file=uri,
        hint="Upload it again, and start a new run.",
    )


@contextmanager
def gone_if_missing(store: Store, name: str) -> Iterator[None]:
    """Give the error of `gone` where a request of the block finds no object."""
    try:
        yield
    except StoreError as error:
        if error.code == "NoSuchKey":
            raise gone(store.uri, name) from error
        raise


def changed(uri: str, name: str) -> PlaceError:
    """The error for an object that is not the one that was listed."""
    return PlaceError(
        f"{name} was replaced in the bucket while it was read.",
        file=uri,
        hint="Wait until the dataset is complete, and start a new run.",
    )


def is_path(name: str, uri: str) -> bool:
    """Whether an object's key is the path of a file in a folder; warns where not."""
    possible = all(part not in ("", ".", "..") and "\0" not in part for part in name.split("/"))
    if not possible:
        warn(f"{uri}: the object {name!r} is not used: no file in a folder can have this name.")
    return possible


def list_folders(uri: str) -> list[str]:
    """Names of the folders directly below `uri`, sorted."""
    location = BucketPath.parse(uri)
    start = location.key("")
    with Store(uri) as store:
        found = store.call_with_retries(
            lambda: list(store.client.list_objects(location.bucket, start))
        )
    return sorted(each.object_name.removeprefix(start).rstrip("/") for each in found if each.is_dir)


def list_names(uri: str) -> list[str]:
    """Names of the objects below `uri`, sorted."""
    with Store(uri) as store:
        return [each.name for each in entries(store, BucketPath.parse(uri))]


def exists(uri: str) -> bool:
    """Whether there is an object at `uri`, or below it."""
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        found = store.call_with_retries(
            lambda: list(store.client.list_objects(location.bucket, location.prefix))
        )
    return any(f"{each.object_name}/".startswith(location.key("")) for each in found)


def no_objects(uri: str) -> InputError:
    """The error for an address without objects."""
    return InputError(
        "there are no objects with this key or prefix.", file=uri, hint="Check bucket and key."
    )
