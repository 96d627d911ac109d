from __future__ import annotations

from collections.abc import Callable

import pytest

from kfdet.errors import InputError
from kfdet.storage.address import BucketPath, is_bucket_uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("/data/model", False),
        ("https://host/x", False),
        ("minio:/b/k", False),
        ("minio://b/k", True),
        ("s3://b", True),
    ],
)
def test_bucket_uris(text: str, expected: bool) -> None:
    assert is_bucket_uri(text) is expected


@pytest.mark.parametrize("uri", ["gs://b/toys", "gcs://b", "gs://key:hidden-word@b/toys"])
@pytest.mark.parametrize("parse", [is_bucket_uri, BucketPath.parse])
def test_googles_own_notation(uri: str, parse: Callable[[str], object]) -> None:
    with pytest.raises(InputError) as raised:
        parse(uri)
    assert "hidden" not in str(raised.value)
    if "@" not in uri:
        assert "HMAC keys" in str(raised.value)
        assert raised.value.file == uri


@pytest.mark.parametrize(
    ("uri", "path", "name"),
    [
        ("minio://b", BucketPath("b", ""), "b"),
        ("s3://b/", BucketPath("b", ""), "b"),
        ("minio://b/toys/", BucketPath("b", "toys"), "toys"),
        ("minio://b/data/toys #1?", BucketPath("b", "data/toys #1?"), "toys #1?"),
    ],
)
def test_bucket_paths(uri: str, path: BucketPath, name: str) -> None:
    assert (BucketPath.parse(uri), BucketPath.parse(uri).name) == (path, name)


@pytest.mark.parametrize("uri", ["", "toys", "minio://", "http://b/toys"])
def test_no_place(uri: str) -> None:
    with pytest.raises(InputError, match="Write minio://BUCKET/NAME"):
        BucketPath.parse(uri)


def test_keys() -> None:
    assert (BucketPath("b", "").key("a/b"), BucketPath("b", "x").key("a/b")) == ("a/b", "x/a/b")
