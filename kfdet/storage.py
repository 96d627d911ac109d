"""Objects in MinIO or any other S3 store, addressed as minio://bucket/key or s3://bucket/key."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from kfdet.errors import InputError

_VARIABLES = "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def is_bucket_uri(text: str) -> bool:
    """Whether `text` names an object in a bucket rather than a local path."""
    return urlparse(text).scheme in ("minio", "s3")


def download(uri: str, folder: Path) -> Path:
    """Copy an object, or all objects under a prefix, from a bucket into `folder`.

    The endpoint and the credentials come from the environment (AWS_ENDPOINT_URL,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), never from the URI.

    Args:
        uri: minio://bucket/key or s3://bucket/key.
        folder: Existing local folder.

    Returns:
        The file, or the folder that holds what was under the prefix.

    Raises:
        InputError: Nothing is there, the store cannot be reached or refuses the credentials.
    """
    import minio
    import urllib3

    place = urlparse(uri)
    bucket, prefix = place.netloc, place.path.lstrip("/")
    root = folder / (PurePosixPath(prefix).name or bucket)
    try:
        client = _client(uri)
        names = [
            str(entry.object_name)
            for entry in client.list_objects(bucket, prefix, recursive=True)
            if not entry.is_dir
        ]
        wanted = [n for n in names if n == prefix or n.startswith(prefix.rstrip("/") + "/")]
        # A TensorFlow checkpoint is named by the common beginning of its files.
        wanted = wanted or [n for n in names if n.startswith(prefix + ".")]
        for name in wanted:
            relative = PurePosixPath(name).relative_to(PurePosixPath(prefix).parent)
            target = folder / relative
            if not target.resolve().is_relative_to(folder.resolve()):
                raise InputError(f'object "{name}" leaves the folder.', file=uri)
            client.fget_object(bucket, name, str(target))
    except (minio.error.S3Error, minio.error.ServerError, urllib3.exceptions.HTTPError) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(
            f"cannot be read: {reason}.",
            file=uri,
            hint=f"Check the bucket, the network and {_VARIABLES}.",
        ) from error
    if not wanted:
        raise InputError("holds nothing.", file=uri, hint="Check bucket and key.")
    return root


def _client(uri: str) -> Any:
    import minio
    import urllib3

    endpoint = urlparse(os.environ.get("AWS_ENDPOINT_URL", ""))
    if not endpoint.netloc:
        raise InputError(
            "needs the address of the object store.",
            file=uri,
            hint=f"Set {_VARIABLES}.",
        )
    return minio.Minio(
        endpoint.netloc,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        secure=endpoint.scheme == "https",
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=60), retries=urllib3.Retry(3, backoff_factor=1)
        ),
    )
