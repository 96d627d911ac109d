"""Addresses of objects: minio://bucket/prefix or s3://bucket/prefix, which mean the same here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from kfdet.errors import InputError

_SCHEMES = ("minio", "s3")
_GOOGLE = ("gs", "gcs")
GOOGLE_HOST = "storage.googleapis.com"


def is_bucket_uri(text: str) -> bool:
    """Whether `text` names an object in a bucket rather than a local path.

    Raises:
        InputError: It is an address of Google Cloud Storage in Google's own notation.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _GOOGLE:
        raise InputError(
            f"{scheme}:// is not supported.",
            file=f"{scheme}://..." if "@" in rest else text,  # before an @ are credentials
            hint="Google Cloud Storage speaks S3, too: create HMAC keys for AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, set AWS_ENDPOINT_URL=https://{GOOGLE_HOST}, and write "
            "s3://BUCKET/NAME. Runs on a cluster need another store: docs/kubernetes.md.",
        )
    return bool(separator) and scheme in _SCHEMES


def refuse_credentials(*addresses: str) -> None:
    """Refuse addresses that hold a password, before anything shows or keeps them.

    Raises:
        InputError: One does; the message does not show it.
    """
    for address in addresses:
        scheme, _, rest = address.partition("://")
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket or (":" in bucket and "@" in prefix):
            raise InputError(
                f"the address {scheme}://... contains credentials; it is not shown.",
                hint="Write minio://BUCKET/NAME, and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY.",
            )


@dataclass(frozen=True, slots=True)
class BucketPath:
    """A prefix in a bucket.

    Args:
        bucket: The bucket's name.
        prefix: Start of the keys, without a slash at either end; "" is the whole bucket.
    """

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> BucketPath:
        """The bucket and the prefix of a URI.

        Raises:
            InputError: It is not the URI of a bucket.
        """
        refuse_credentials(uri)
        bucket, _, prefix = uri.partition("://")[2].partition("/")
        if not is_bucket_uri(uri) or not bucket:
            raise InputError(
                "is not the address of a bucket.", file=uri, hint="Write minio://BUCKET/NAME."
            )
        return cls(bucket, prefix.strip("/"))

    @property
    def name(self) -> str:
        """The name of a folder that holds the same files."""
        return PurePosixPath(self.prefix).name or self.bucket

    def key(self, name: str) -> str:
        """The key of the object called `name` below this prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name
