"""A dataset in a bucket as a temporary local folder."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kfdet.dataset.layout import is_dataset_file
from kfdet.errors import InputError
from kfdet.events import path_alias
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.download import download, fetch
from kfdet.storage.listing import entries, no_objects
from kfdet.storage.store import Store

_PREFIX = "kfdet-dataset-"


@contextmanager
def local_dataset(dataset: str, names: Collection[str] | None = None) -> Iterator[Path]:
    """The folder of a dataset: itself, or a temporary copy of what is in a bucket.

    The copy has the name of the dataset. Messages of the block name the URI in its place.

    Args:
        dataset: A folder, or the URI of a dataset in a bucket.
        names: The files that are needed; None: every file that belongs to a dataset.

    Raises:
        InputError: A file is missing in the bucket, or the bucket cannot be read.
    """
    if not is_bucket_uri(dataset):
        yield Path(dataset)
        return
    location = BucketPath.parse(dataset)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        folder = Path(scratch, location.name)
        folder.mkdir()
        with path_alias(folder, dataset.rstrip("/")):
            if names is None or names:
                with Store(dataset) as store:
                    found = {entry.name: entry for entry in entries(store, location)}
                    if not found:
                        raise no_objects(dataset)
                    missing = sorted(set(names or ()) - set(found))
                    if missing:
                        raise InputError(
                            f"{missing[0]} is no longer in the bucket.",
                            file=dataset,
                            hint="Upload the dataset again, and start a new run.",
                        )
                    wanted = filter(is_dataset_file, found) if names is None else names
                    fetch(store, location.bucket, [found[name] for name in wanted], folder)
            yield folder


@contextmanager
def local_source(source: str) -> Iterator[Path]:
    """Like `local_dataset`, but `source` may also be one file: what `kfdet convert` reads."""
    if not is_bucket_uri(source):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        copy = Path(scratch, BucketPath.parse(source).name)
        with path_alias(copy, source.rstrip("/")):
            yield download(source, Path(scratch))
