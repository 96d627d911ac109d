"""One file into a bucket: in parts that go side by side, checked on the way and marked for later.

Each request's body is checked by the store before it is accepted: by the SHA-256 that signature V4
covers over HTTP, by Content-MD5 over HTTPS (the MinIO client sends one or the other). The CRC32C of
the whole file, which takes a tenth of a second a gigabyte, becomes metadata of the object: a
download compares with it, and an upload that is started again skips what is there without reading
it back. ETags would not do for that: they depend on the size of the parts, and are no digest at all
where the store encrypts.

The multipart calls are the MinIO client's own, below its public ones, which neither continue an
upload nor send the parts of several files side by side.
"""

from __future__ import annotations

import hashlib
import math
import mimetypes
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from kfdet.errors import InputError
from kfdet.storage.store import Store, StoreError

CHECKSUM_HEADER = "x-amz-meta-kfdet-crc32c"
PART_SIZE = 16 << 20
"""Bytes a part: the same for every upload of a file, so that an interrupted one can continue."""

_MOST_PARTS = 10_000  # S3's limit
_CHUNK = 1 << 20

Advance = Callable[[int], None]
"""Is told of every so many bytes that are in the bucket, or not any more where negative."""


class Crc32c:
    """The checksum of what it is given, piece by piece."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """Go on with `data`."""
        self._value = google_crc32c.extend(self._value, data)

    @property
    def text(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self._value:08x}"


@dataclass(frozen=True, slots=True)
class Target:
    """An object to be written.

    Args:
        bucket: Where.
        key: Its key.
        size: Its size in bytes.
        crc32c: Its checksum, in hexadecimal.
        modified: Time of the file's last change in nanoseconds when the checksum was taken; None
            for a file that only grows, of which the first `size` bytes count.
    """

    bucket: str
    key: str
    size: int
    crc32c: str
    modified: int | None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that create it."""
        kind = mimetypes.guess_type(self.key)[0] or "application/octet-stream"
        return {"Content-Type": kind, CHECKSUM_HEADER: self.crc32c}


def target_for(path: Path, bucket: str, key: str, *, grows: bool = False) -> Target:
    """The object that a file makes; reads all of it."""
    state = path.stat()
    crc, left = Crc32c(), state.st_size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(_CHUNK, left))):
            crc.update(chunk)
            left -= len(chunk)
    if left:
        raise _changed(path)
    modified = None if grows else state.st_mtime_ns
    return Target(bucket, key, state.st_size, crc.text, modified)


def is_there(store: Store, target: Target) -> bool:
    """Whether the object is there with the size and the checksum it should have."""
    try:
        found = store.do(store.client.stat_object, target.bucket, target.key)
    except StoreError as error:
        if error.code in ("NoSuchKey", "NoSuchObject"):
            return False
        raise
    return bool(found.size == target.size and found.metadata.get(CHECKSUM_HEADER) == target.crc32c)


def send(store: Store, path: Path, target: Target, parts: Executor, advance: Advance) -> None:
    """Write the first `target.size` bytes of `path` to the bucket.

    An upload of the same content that was interrupted continues.

    Args:
        store: Where to.
        path: The file; what it holds beyond `target.size` bytes is left alone.
        target: What to write.
        parts: Sends the parts of large files; its tasks wait for nothing but the store.
        advance: Is told of the bytes that have arrived.

    Raises:
        InputError: The store refuses, or the file changed meanwhile.
        AwayError: The store is.
    """
    if target.size <= PART_SIZE:
        data = _read(path, 0, target.size)
        _check_unchanged(path, target)
        store.do(store.client._put_object, target.bucket, target.key, data, target.headers)
        advance(target.size)
        return
    pending = _pending(store, path, target, advance)
    _send_parts(store, path, target, pending, parts, advance)
    if not is_there(store, target):
        # What was continued had been begun for another content that began alike.
        advance(-target.size)
        _send_parts(store, path, target, None, parts, advance)


@dataclass(frozen=True, slots=True)
class _Upload:
    """A multipart upload that has begun: ETags of the parts that are there, by number from 1."""

    id: str
    etags: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    offset: int
    size: int


def _cut(size: int) -> list[_Part]:
    megabyte = 1 << 20
    part_size = max(PART_SIZE, math.ceil(size / _MOST_PARTS / megabyte) * megabyte)
    return [
        _Part(number, offset, min(part_size, size - offset))
        for number, offset in enumerate(range(0, size, part_size), 1)
    ]


def _send_parts(
    store: Store,
    path: Path,
    target: Target,
    upload: _Upload | None,
    parts: Executor,
    advance: Advance,
) -> None:
    bucket, key = target.bucket, target.key
    if upload is None:
        created = store.do(store.client._create_multipart_upload, bucket, key, target.headers)
        upload = _Upload(created, {})
    identity, etags = upload.id, dict(upload.etags)

    def put(part: _Part) -> None:
        data = _read(path, part.offset, part.size)
        etags[part.number] = store.do(
            store.client._upload_part, bucket, key, data, None, identity, part.number
        )
        advance(part.size)

    running = [parts.submit(put, part) for part in _cut(target.size) if part.number not in etags]
    try:
        for done in running:
            done.result()
        _check_unchanged(path, target)
    except BaseException:
        for waiting in running:
            waiting.cancel()
        raise
    _complete(store, target, identity, etags)


def _complete(store: Store, target: Target, identity: str, etags: dict[int, str]) -> None:
    from minio.datatypes import Part

    listed = [Part(number, etag) for number, etag in sorted(etags.items())]
    try:
        store.do(
            store.client._complete_multipart_upload, target.bucket, target.key, identity, listed
        )
    except StoreError as error:
        # An answer that got lost: the request was done, and repeated.
        if error.code != "NoSuchUpload" or not is_there(store, target):
            raise


def _pending(store: Store, path: Path, target: Target, advance: Advance) -> _Upload | None:
    """The interrupted upload of the same content, if there is one; others of that key are ended."""
    bucket, key = target.bucket, target.key
    listed = store.do(store.client._list_multipart_uploads, bucket, prefix=key)
    for found in listed.uploads:
        if found.object_name != key:
            continue
        identity = found.upload_id
        there = _parts_there(store, target, identity)
        parts = {part.number: part for part in _cut(target.size)}
        if there and all(
            number in parts and _md5(path, parts[number]) == etag for number, etag in there.items()
        ):
            advance(sum(parts[number].size for number in there))
            return _Upload(identity, there)
        store.do(store.client._abort_multipart_upload, bucket, key, identity)
    return None


def _parts_there(store: Store, target: Target, identity: str) -> dict[int, str]:
    there: dict[int, str] = {}
    marker: str | None = None
    while True:
        page = store.do(
            store.client._list_parts,
            target.bucket,
            target.key,
            identity,
            part_number_marker=marker,
        )
        there |= {part.part_number: part.etag for part in page.parts}
        if not page.is_truncated:
            return there
        marker = str(page.next_part_number_marker)


def _md5(path: Path, part: _Part) -> str:
    return hashlib.md5(_read(path, part.offset, part.size), usedforsecurity=False).hexdigest()


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise _changed(path)
    return data


def _check_unchanged(path: Path, target: Target) -> None:
    if target.modified not in (None, path.stat().st_mtime_ns):
        raise _changed(path)


def _changed(path: Path) -> InputError:
    return InputError(
        "changed while it was being uploaded.",
        file=path,
        hint="Start again when nothing writes to it.",
    )
