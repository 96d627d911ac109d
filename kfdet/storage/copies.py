"""A dataset in a bucket or in a zip as a temporary local folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kfdet.dataset.formats.archive import list_members, unpack
from kfdet.dataset.formats.registry import detect_format
from kfdet.dataset.layout import is_dataset_file, is_video
from kfdet.dataset.media_files import MediaFiles
from kfdet.dataset.several import part_names, split_datasets
from kfdet.dataset.zipped import files_in_zip, is_zip, unpack_dataset
from kfdet.errors import InputError
from kfdet.events import path_alias
from kfdet.storage.address import BucketPath, is_bucket_uri
from kfdet.storage.bucket_media import BucketMedia
from kfdet.storage.download import download, fetch
from kfdet.storage.listing import entries, is_path, named_entries, no_objects
from kfdet.storage.store import Store

_PREFIX = "kfdet-dataset-"


@contextmanager
def local_dataset(dataset: str, names: Collection[str] | None = None) -> Iterator[Path]:
    """The folder of a dataset: itself, or a temporary copy of what is in a bucket or in a zip.

    The copy has the name of the dataset. Of several datasets it is a temporary folder with each in
    a folder of its own (see `kfdet.dataset.several`). Messages of the block name folder, zip or
    URI.

    Args:
        dataset: A folder, a zip, or the URI of a dataset in a bucket; or several, separated by
            commas.
        names: The files that are needed; None: every file that belongs to a dataset.

    Raises:
        InputError: A file is missing in the bucket, or the bucket or the zip cannot be read.
    """
    with ExitStack() as stack:
        yield _folder(dataset, names, stack, None)


@contextmanager
def open_dataset(dataset: str) -> Iterator[tuple[Path, MediaFiles]]:
    """Like `local_dataset`, but large files of a dataset in a bucket are not copied.

    Args:
        dataset: As for `local_dataset`.

    Yields:
        The folder, and what looks at its videos and images: some of these are stand-ins.

    Raises:
        InputError: The bucket or the zip cannot be read.
    """
    media = BucketMedia()
    with ExitStack() as stack:
        yield _folder(dataset, None, stack, media), media


def _folder(
    dataset: str, names: Collection[str] | None, stack: ExitStack, media: BucketMedia | None
) -> Path:
    """The folder of one or several datasets, for as long as the stack lasts."""
    places = split_datasets(dataset)
    if len(places) == 1:
        return _one(places[0], names, stack, media)
    root = _scratch(stack)
    for place, part in zip(places, part_names(places), strict=True):
        inner = f"{part}/"
        own = names and {n.removeprefix(inner) for n in names if n.startswith(inner)}
        folder = _one(place, own, stack, media)
        if not folder.is_dir():
            raise InputError("the dataset does not exist.", file=place)
        (root / part).symlink_to(folder.resolve())
        stack.enter_context(path_alias(root / part, place.rstrip("/")))
    return root


def _one(
    place: str, names: Collection[str] | None, stack: ExitStack, media: BucketMedia | None
) -> Path:
    """The folder of one dataset, for as long as the stack lasts."""
    if is_bucket_uri(place):
        folder = _scratch(stack) / BucketPath.parse(place).name
        stack.enter_context(path_alias(folder, place.rstrip("/")))
        _copy(place, folder, names, stack, media)
        return folder
    if not is_zip(place):
        return Path(place)
    folder = _scratch(stack) / Path(place).stem
    folder.mkdir()
    stack.enter_context(path_alias(folder, place))
    return unpack_dataset(Path(place), folder, names)


def _scratch(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)))


def _copy(
    uri: str,
    folder: Path,
    names: Collection[str] | None,
    stack: ExitStack,
    media: BucketMedia | None,
) -> None:
    """Copy these files of the dataset at `uri` into a new folder; None: all that belong to it."""
    folder.mkdir()
    if names is not None and not names:
        return
    location = BucketPath.parse(uri)
    store = stack.enter_context(Store(uri))
    if names is not None:
        possible = [name for name in names if is_path(name, uri)]
        found = named_entries(store, location, possible)
    else:
        listed = entries(store, location)
        if not listed:
            raise no_objects(uri)
        found = [
            entry for entry in listed if is_dataset_file(entry.name) and is_path(entry.name, uri)
        ]
    if media is None:
        fetch(store, location.bucket, found, folder)
    else:
        media.copy(store, location.bucket, found, folder)


@contextmanager
def local_source(source: str) -> Iterator[Path]:
    """Like `local_dataset`, but `source` may also be one file: what `kfdet convert` reads.

    A zip is a dataset where it holds videos, or is no export of CVAT's.
    """
    if not is_bucket_uri(source):
        if is_zip(source) and _is_dataset(Path(source)):
            with local_dataset(source) as folder:
                yield folder
        else:
            yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        copy = Path(scratch, BucketPath.parse(source).name)
        with path_alias(copy, source.rstrip("/")):
            yield download(source, Path(scratch))


def _is_dataset(path: Path) -> bool:
    names = [member.name for member in files_in_zip(path)]
    return any(map(is_video, names)) or detect_format(path) is None


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
            unpacked.mkdir()
            with path_alias(Path(path), model):
                names = [member.name for member in list_members(Path(path))]
                unpack(Path(path), unpacked, names, shutil.disk_usage(scratch).free)
            path = str(unpacked)
        if path == model:
            yield model
            return
        with path_alias(Path(path), model):
            yield path
