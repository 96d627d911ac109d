"""A dataset in a bucket, as a folder for as long as it is worked on."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kfdet.dataset.layout import is_dataset_file
from kfdet.errors import InputError
from kfdet.events import path_alias
from kfdet.storage.address import is_bucket_uri, place_of
from kfdet.storage.download import download, fetch
from kfdet.storage.listing import entries, nothing_there
from kfdet.storage.store import Store

_PREFIX = "kfdet-dataset-"


@contextmanager
def local_dataset(dataset: str, names: Collection[str] | None = None) -> Iterator[Path]:
    """The folder of a dataset: itself, or a copy of what is in a bucket, deleted at the end.

    The copy has the name of the dataset. Messages of the block say the URI in its place.

    Args:
        dataset: A folder, or the URI of a dataset in a bucket.
        names: The files that are needed; None: every file that belongs to a dataset.

    Raises:
        InputError: One of the files is not in the bucket, or the bucket cannot be read.
    """
    if not is_bucket_uri(dataset):
        yield Path(dataset)
        return
    place = place_of(dataset)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        folder = Path(scratch, place.name)
        folder.mkdir()
        with path_alias(folder, dataset.rstrip("/")):
            if names is None or names:
                with Store(dataset) as store:
                    found = {entry.name: entry for entry in entries(store, place)}
                    if not found:
                        raise nothing_there(dataset)
                    missing = sorted(set(names or ()) - set(found))
                    if missing:
                        raise InputError(
                            f"{missing[0]} is not there any more.",
                            file=dataset,
                            hint="Upload the dataset again, and start a new run.",
                        )
                    wanted = filter(is_dataset_file, found) if names is None else names
                    fetch(store, place.bucket, [found[name] for name in wanted], folder)
            yield folder


@contextmanager
def local_source(source: str) -> Iterator[Path]:
    """Like `local_dataset`, but `source` may also be one file: what `kfdet convert` reads."""
    if not is_bucket_uri(source):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        copy = Path(scratch, place_of(source).name)
        with path_alias(copy, source.rstrip("/")):
            yield download(source, Path(scratch))
