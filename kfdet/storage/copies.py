"""A dataset in a bucket as a temporary local folder."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kfdet.dataset.layout import is_dataset_file
from kfdet.dataset.several import part_names, split_datasets
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

    The copy has the name of the dataset. Of several datasets it is a temporary folder with each in
    a folder of its own (see `kfdet.dataset.several`). Messages of the block name folder or URI.

    Args:
        dataset: A folder, or the URI of a dataset in a bucket; or several, separated by commas.
        names: The files that are needed; None: every file that belongs to a dataset.

    Raises:
        InputError: A file is missing in the bucket, or the bucket cannot be read.
    """
    places = split_datasets(dataset)
    if len(places) == 1 and not is_bucket_uri(places[0]):
        yield Path(places[0])
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch, ExitStack() as aliases:
        if len(places) == 1:
            folder = Path(scratch, BucketPath.parse(places[0]).name)
            aliases.enter_context(path_alias(folder, places[0].rstrip("/")))
            _copy(places[0], folder, names)
            yield folder
            return
        for place, part in zip(places, part_names(places), strict=True):
            folder = Path(scratch, part)
            aliases.enter_context(path_alias(folder, place.rstrip("/")))
            if is_bucket_uri(place):
                inner = f"{part}/"
                own = names and {n.removeprefix(inner) for n in names if n.startswith(inner)}
                _copy(place, folder, own)
            elif not Path(place).is_dir():
                raise InputError("the dataset does not exist.", file=place)
            else:
                folder.symlink_to(Path(place).resolve())
        yield Path(scratch)


def _copy(uri: str, folder: Path, names: Collection[str] | None) -> None:
    """Copy these files of the dataset at `uri` into a new folder; None: all that belong to it."""
    folder.mkdir()
    if names is not None and not names:
        return
    location = BucketPath.parse(uri)
    with Store(uri) as store:
        found = {entry.name: entry for entry in entries(store, location)}
        if not found:
            raise no_objects(uri)
        missing = sorted(set(names or ()) - set(found))
        if missing:
            raise InputError(
                f"{missing[0]} is no longer in the bucket.",
                file=uri,
                hint="Upload the dataset again, and start a new run.",
            )
        wanted = filter(is_dataset_file, found) if names is None else names
        fetch(store, location.bucket, [found[name] for name in wanted], folder)


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


@contextmanager
def local_model(model: str) -> Iterator[str]:
    """What `Detector.load` takes: `model`, or a copy of what a bucket or a zip file holds.

    Args:
        model: A run, a model's folder, file or model.zip, each of which may be in a bucket; or the
            address of an endpoint.

    Raises:
        InputError: The bucket cannot be read, or the zip file is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="kfdet-model-") as scratch:
        path = model
        if is_bucket_uri(model):
            path = str(download(model, Path(scratch)))
        if path.endswith(".zip") and Path(path).is_file():
            unpacked = Path(scratch, "unpacked")
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(unpacked)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(f"cannot be unpacked: {error}", file=model) from error
            path = str(unpacked)
        if path == model:
            yield model
            return
        with path_alias(Path(path), model):
            yield path
