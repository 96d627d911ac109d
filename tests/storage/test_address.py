from __future__ import annotations

import pytest

from kfdet.errors import InputError
from kfdet.storage.address import Place, is_bucket_uri, place_of


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


@pytest.mark.parametrize(
    ("uri", "place", "name"),
    [
        ("minio://b", Place("b", ""), "b"),
        ("s3://b/", Place("b", ""), "b"),
        ("minio://b/toys/", Place("b", "toys"), "toys"),
        ("minio://b/data/toys #1?", Place("b", "data/toys #1?"), "toys #1?"),
    ],
)
def test_places(uri: str, place: Place, name: str) -> None:
    assert (place_of(uri), place_of(uri).name) == (place, name)


@pytest.mark.parametrize("uri", ["", "toys", "minio://", "http://b/toys"])
def test_no_place(uri: str) -> None:
    with pytest.raises(InputError, match="Write minio://BUCKET/NAME"):
        place_of(uri)


def test_keys() -> None:
    assert (Place("b", "").key("a/b"), Place("b", "x").key("a/b")) == ("a/b", "x/a/b")
