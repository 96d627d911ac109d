"""The copy of a SavedModel in the bucket: one folder per version, never changed."""

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


def publish(saved_model: Path, model_root: str, name: str, version: str) -> str:
    """Copy a SavedModel to `model_root`/`name`/`version`/1; what is there already is kept.

    Args:
        saved_model: The folder with saved_model.pb.
        model_root: minio://bucket/prefix or s3://bucket/prefix.
        name: The endpoint.
        version: The model's version.

    Returns:
        The folder of the version, in KServe's notation: s3://bucket/prefix/name/version.

    Raises:
        InputError: The store refuses.
        StoreUnavailableError: The store stopped answering.
    """
    location = BucketPath.parse(model_root)
    folder = location.key(f"{name}/{version}")
    files = list_files(saved_model)
    progress = Progress(
        f"copying version {version}", sum(path.stat().st_size for path in files), "bytes"
    )
    with Store(model_root) as store, ThreadPoolExecutor(CONNECTIONS) as parts:
        make_bucket(store, location.bucket)
        # The graph comes last: a version with a graph is complete.
        for path in sorted(files, key=lambda path: path.name == _GRAPH):
            key = f"{folder}/1/{path.relative_to(saved_model).as_posix()}"
            target = target_for(path, location.bucket, key)
            if is_uploaded(store, target):
                progress.advance(target.size)
            else:
                send(store, path, target, parts, progress.advance)
    return f"s3://{location.bucket}/{folder}"
