"""Where scoring reads and writes: a folder of this machine or of a bucket, used alike."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from kfdet.dataset.layout import find_files
from kfdet.errors import InputError
from kfdet.events import path_alias
from kfdet.files import atomic_file, lock_folder, read_whole
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.download import fetch
from kfdet.storage.lease import leased
from kfdet.storage.listing import Entry, entries, is_path
from kfdet.storage.multipart import send, target_for
from kfdet.storage.store import Store
from kfdet.storage.upload import make_bucket

_LOCK = ".kfdet-score"


class Place(Protocol):
    """A folder with files, which are named by their path in it, with slashes."""

    address: str
    """What a user calls it."""

    def stamps(self) -> dict[str, tuple[int, str]]:
        """Size in bytes of every file, and what changes when its content does; {} for no folder."""

    def copy(self, sizes: Mapping[str, int], scratch: Path) -> Path:
        """The folder that has these files: itself, or `scratch` with copies of them.

        Args:
            sizes: Bytes by name.
            scratch: A folder of this machine, which need not exist.
        """

    def read(self, name: str) -> bytes:
        """The content of one file."""

    def write(self, name: str, content: bytes) -> None:
        """Write one file, which is there whole or not at all."""

    def write_file(self, name: str, path: Path) -> None:
        """Write one file with the content of a local one, which may be large."""


class Folder:
    """A folder of this machine.

    Args:
        path: The folder, which is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._path = path

    def stamps(self) -> dict[str, tuple[int, str]]:
        """See `Place`; without hidden files."""
        found = {}
        for name in find_files(self._path) if self._path.is_dir() else ():
            try:
                state = (self._path / name).stat()
            except OSError:  # a link to nowhere, which its reader reports
                found[name] = 0, ""
            else:
                found[name] = state.st_size, str(state.st_mtime_ns)
        return found

    def copy(self, sizes: Mapping[str, int], scratch: Path) -> Path:
        """See `Place`; nothing is copied."""
        del sizes, scratch
        return self._path

    def read(self, name: str) -> bytes:
        """See `Place`."""
        return read_whole(self._path / name)

    def write(self, name: str, content: bytes) -> None:
        """See `Place`."""
        with atomic_file(self._path / name) as temporary:
            temporary.write_bytes(content)

    def write_file(self, name: str, path: Path) -> None:
        """See `Place`."""
        with atomic_file(self._path / name) as temporary:
            shutil.copyfile(path, temporary)


class Bucket:
    """A folder of a bucket.

    Args:
        store: The object store.
        location: The folder in it.
        address: Its URI.
    """

    def __init__(self, store: Store, location: BucketPath, address: str) -> None:
        self.address = address
        self._store, self._location = store, location

    def stamps(self) -> dict[str, tuple[int, str]]:
        """See `Place`; without hidden files."""
        return {
            each.name: (each.size, each.etag)
            for each in entries(self._store, self._location)
            if is_path(each.name, self.address)
            and not any(part.startswith(".") for part in each.name.split("/"))
        }

    def copy(self, sizes: Mapping[str, int], scratch: Path) -> Path:
        """See `Place`."""
        found = [Entry(name, self._location.key(name), size, "") for name, size in sizes.items()]
        fetch(self._store, self._location.bucket, found, scratch)
        return scratch

    def read(self, name: str) -> bytes:
        """See `Place`."""

        def get() -> bytes:
            answer = self._store.client.get_object(self._location.bucket, self._location.key(name))
            try:
                content: bytes = answer.read()
            finally:
                answer.close()
                answer.release_conn()
            return content

        return self._store.call_with_retries(get)

    def write(self, name: str, content: bytes) -> None:
        """See `Place`."""
        self._store.call_with_retries(
            lambda: self._store.client.put_object(
                self._location.bucket, self._location.key(name), io.BytesIO(content), len(content)
            )
        )

    def write_file(self, name: str, path: Path) -> None:
        """See `Place`."""
        target = target_for(path, self._location.bucket, self._location.key(name))
        with ThreadPoolExecutor(CONNECTIONS) as parts:
            send(self._store, path, target, parts, lambda _: None)


@contextmanager
def open_place(address: str) -> Iterator[Place]:
    """The folder of this machine or of a bucket at `address`, which need not exist.

    Raises:
        InputError: The address is not usable, or is that of a file.
    """
    if is_bucket_uri(address):
        with Store(address) as store:
            yield Bucket(store, BucketPath.parse(address), address.rstrip("/"))
        return
    if Path(address).exists() and not Path(address).is_dir():
        raise InputError("is a file, not a folder.", file=address)
    yield Folder(Path(address))


@contextmanager
def owned(address: str, part: str = "") -> Iterator[None]:
    """Let no other process score into the same folder while the block runs.

    In a bucket, another one is waited for (see `kfdet.storage.lease`).

    Args:
        address: The folder, which is made, and so is its bucket.
        part: Name of what is owned, where several processes share the work; "" for all.

    Raises:
        InputError: Another process of this machine is scoring into the folder.
    """
    with ExitStack() as stack:
        if is_bucket_uri(address):
            with Store(address) as store:
                make_bucket(store, BucketPath.parse(address).bucket)
            place = address.rstrip("/")
            stack.enter_context(leased(f"{place}/.groups/{part}" if part else place))
        else:
            busy = "another process ({}) is scoring into this folder."
            stack.enter_context(lock_folder(Path(address), f"{_LOCK}{part}", busy))
        yield


@contextmanager
def named_as(folder: Path, place: Place) -> Iterator[None]:
    """Write the place's address instead of `folder`, a copy of it, in messages of the block."""
    if str(folder) == place.address:
        yield
        return
    with path_alias(folder, place.address):
        yield
