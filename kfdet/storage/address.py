"""Where objects lie: minio://bucket/prefix or s3://bucket/prefix, which are the same here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from kfdet.errors import InputError

_SCHEMES = ("minio", "s3")


def is_bucket_uri(text: str) -> bool:
    """Whether `text` names an object in a bucket rather than a local path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in _SCHEMES


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix in a bucket.

    Args:
        bucket: The bucket's name.
        prefix: What the keys begin with, without a slash at either end; "" is the whole bucket.
    """

    bucket: str
    prefix: str

    @property
    def name(self) -> str:
        """What a folder of the same name would be called."""
        return PurePosixPath(self.prefix).name or self.bucket

    def key(self, name: str) -> str:
        """The key of the object called `name` below this prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name


def place_of(uri: str) -> Place:
    """The bucket and the prefix that `uri` names.

    Raises:
        InputError: It names none.
    """
    bucket, _, prefix = uri.partition("://")[2].partition("/")
    if not is_bucket_uri(uri) or not bucket:
        raise InputError(
            "is no address in an object store.", file=uri, hint="Write minio://BUCKET/NAME."
        )
    return Place(bucket, prefix.strip("/"))
