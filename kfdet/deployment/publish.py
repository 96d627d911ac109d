"""The copies of a model in the bucket: one folder per version, never changed.

NAME/VERSION holds what KServe fetches, NAME/bundles/VERSION.zip the run's model.zip, whose weights
another training can start from.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kfdet.events import Progress
from kfdet.files import hash_folder, list_files
from kfdet.storage.address import BucketPath
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.multipart import is_uploaded, send, target_for
from kfdet.storage.store import Store
from kfdet.storage.upload import make_bucket

_GRAPH = "saved_model.pb"


def version_of(saved_model: Path) -> str:
    """12 hexadecimal digits: start of the hash of a SavedModel's file names and contents.

    Args:
        saved_model: The folder with saved_model.pb.
    """
    return hash_folder(saved_model)[:12]


def describe_version(uri: str) -> str:
    """What messages call a model that `publish` has copied.

    >>> describe_version("s3://kfdet/models/toys/0123456789ab")
    'version 0123456789ab of toys'
    """
    name, version = uri.rstrip("/").split("/")[-2:]
    return f"version {version} of {name}"


def publish(
    saved_model: Path, model_root: str, name: str, version: str, bundle: Path | None = None
) -> str:
    """Copy a SavedModel to `model_root`/`name`/`version`/1; what is there already is kept.

    Args:
        saved_model: The folder with saved_model.pb.
        model_root: minio://bucket/prefix or s3://bucket/prefix.
        name: The endpoint.
        version: The model's version.
        bundle: The run's model.zip, where there is one.

    Returns:
        The folder of the version, in KServe's notation: s3://bucket/prefix/name/version.

    Raises:
        InputError: The store refuses.
        StoreUnavailableError: The store stopped answering.
    """
    location = BucketPath.parse(model_root)
    folder = location.key(f"{name}/{version}")
    uri = f"s3://{location.bucket}/{folder}"
    files = {
        f"{folder}/1/{path.relative_to(saved_model).as_posix()}": path
        for path in list_files(saved_model)
    }
    if bundle:
        files[BucketPath.parse(bundle_uri(uri)).prefix] = bundle
    size = sum(path.stat().st_size for path in files.values())
    progress = Progress(f"copying version {version}", size, "bytes")
    with Store(model_root) as store, ThreadPoolExecutor(CONNECTIONS) as parts:
        make_bucket(store, location.bucket)
        # The graph comes last: a version with a graph is complete.
        for key, path in sorted(files.items(), key=lambda item: item[1].name == _GRAPH):
            target = target_for(path, location.bucket, key)
            if is_uploaded(store, target):
                progress.advance(target.size)
            else:
                send(store, path, target, parts, progress.advance)
    return uri


def bundle_uri(storage_uri: str) -> str:
    """Where the model.zip of a version is.

    Beside the versions, because KServe fetches everything that begins with a version's name.

    Args:
        storage_uri: The folder of the version, as `publish` gives it.
    """
    endpoint, _, version = storage_uri.rpartition("/")
    return f"{endpoint}/bundles/{version}.zip"
