"""One file into a bucket: in parallel parts, checked on the way and marked for later.

The store checks the body of each request before it accepts it: by the SHA-256 that signature V4
covers over HTTP, by Content-MD5 over HTTPS. The CRC32C of the whole file, which takes a tenth of a
second per gigabyte, becomes metadata of the object: a download compares with it, and a repeated
upload skips what is there without reading it back. ETags would not do for that: they depend on the
size of the parts, and are not digests at all where the store encrypts.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import mimetypes
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from kfdet.errors import InputError
from kfdet.storage.store import Store, StoreError

_CHECKSUM = "kfdet-crc32c"
CHECKSUM_HEADER = f"x-amz-meta-{_CHECKSUM}"
PART_SIZE = 16 << 20
"""Bytes per part: the same for every upload of a file, so that an interrupted one can continue."""

_MOST_PARTS = 10_000  # S3's limit
_CHUNK = 1 << 20

Advance = Callable[[int], None]
"""Callback: bytes that have arrived in the bucket (negative: retracted)."""


class Crc32c:
    """The CRC32C of data that comes piece by piece."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """Continue with `data`."""
        self._value = google_crc32c.extend(self._value, data)

    @property
    def text(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self._value:08x}"


@dataclass(frozen=True, slots=True)
class Target:
    """An object to be written.

    Args:
        bucket: Name of its bucket.
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
    def content_type(self) -> str:
        """Its media type, after the key's ending."""
        return mimetypes.guess_type(self.key)[0] or "application/octet-stream"

    @property
    def metadata(self) -> dict[str, str]:
        """What the store keeps beside it."""
        return {_CHECKSUM: self.crc32c}


def target_for(path: Path, bucket: str, key: str, *, grows: bool = False) -> Target:
    """The object for a file; reads all of it."""
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


def is_uploaded(store: Store, target: Target) -> bool:
    """Whether the object is there with the size and the checksum it should have."""
    try:
        found = store.call_with_retries(store.client.stat_object, target.bucket, target.key)
    except StoreError as error:
        if error.code in ("NoSuchKey", "NoSuchObject"):
            return False
        raise
    return bool(found.size == target.size and found.metadata.get(CHECKSUM_HEADER) == target.crc32c)


def send(store: Store, path: Path, target: Target, parts: Executor, advance: Advance) -> None:
    """Write the first `target.size` bytes of `path` to the bucket.

    Continues an interrupted upload of the same content.

    Args:
        store: The store to write to.
        path: The file; bytes beyond `target.size` are left out.
        target: The object to write.
        parts: Sends the parts of large files; its tasks wait for nothing but the store.
        advance: Called with the number of bytes that have arrived.

    Raises:
        InputError: The store refuses, or the file changed meanwhile.
        StoreUnavailableError: The store stays unreachable.
    """
    if target.size <= PART_SIZE:
        data = _read(path, 0, target.size)
        _check_unchanged(path, target)
        store.call_with_retries(_put, store, target, data)
        advance(target.size)
        return
    pending = _pending(store, path, target, advance)
    _send_parts(store, path, target, pending, parts, advance)
    if not is_uploaded(store, target):
        # The upload that was continued belonged to other content with the same first parts.
        advance(-target.size)
        _send_parts(store, path, target, None, parts, advance)


def _put(store: Store, target: Target, data: bytes) -> None:
    store.client.put_object(
        target.bucket,
        target.key,
        io.BytesIO(data),
        len(data),
        content_type=target.content_type,
        metadata=target.metadata,
        part_size=PART_SIZE,
    )


@dataclass(frozen=True, slots=True)
class _Upload:
    """A started multipart upload: ETags of the parts that are there, by number from 1."""

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
    if upload is None:
        upload = _Upload(_create(store, target), {})
    identity, etags = upload.id, dict(upload.etags)

    def put(part: _Part) -> None:
        data = _read(path, part.offset, part.size)
        etags[part.number] = _upload_part(store, target, identity, part.number, data)
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


def _create(store: Store, target: Target) -> str:
    created = store.call_with_retries(
        store.multipart_client.create_multipart_upload,
        Bucket=target.bucket,
        Key=target.key,
        ContentType=target.content_type,
        Metadata=target.metadata,
    )
    return str(created["UploadId"])


def _upload_part(store: Store, target: Target, identity: str, number: int, data: bytes) -> str:
    checksum = {}
    if store.is_encrypted:  # else the body's SHA-256 is part of the signature
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        checksum["ContentMD5"] = base64.b64encode(digest).decode()
    sent = store.call_with_retries(
        store.multipart_client.upload_part,
        Bucket=target.bucket,
        Key=target.key,
        UploadId=identity,
        PartNumber=number,
        Body=data,
        **checksum,
    )
    return str(sent["ETag"])


def _complete(store: Store, target: Target, identity: str, etags: dict[int, str]) -> None:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
    try:
        store.call_with_retries(
            store.multipart_client.complete_multipart_upload,
            Bucket=target.bucket,
            Key=target.key,
            UploadId=identity,
            MultipartUpload={"Parts": parts},
        )
    except StoreError as error:
        # An answer that got lost: the request was done, and repeated.
        if error.code != "NoSuchUpload" or not is_uploaded(store, target):
            raise


def _pending(store: Store, path: Path, target: Target, advance: Advance) -> _Upload | None:
    """The interrupted upload of the same content, if there is one; aborts others of that key."""
    parts = {part.number: part for part in _cut(target.size)}
    uploads = _list(
        store, "list_multipart_uploads", "Uploads", Bucket=target.bucket, Prefix=target.key
    )
    for identity in [each["UploadId"] for each in uploads if each["Key"] == target.key]:
        names = {"Bucket": target.bucket, "Key": target.key, "UploadId": identity}
        there = {
            int(part["PartNumber"]): str(part["ETag"])
            for part in _list(store, "list_parts", "Parts", **names)
        }
        if there and all(
            number in parts and _md5(path, parts[number]) == etag.strip('"')
            for number, etag in there.items()
        ):
            advance(sum(parts[number].size for number in there))
            return _Upload(identity, there)
        store.call_with_retries(store.multipart_client.abort_multipart_upload, **names)
    return None


def _list(store: Store, call: str, field: str, **names: str) -> list[dict[str, Any]]:
    """One field of all pages of a listing."""
    pages = store.multipart_client.get_paginator(call).paginate(**names)
    return store.call_with_retries(
        lambda: [entry for page in pages for entry in page.get(field, [])]
    )


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
