"""From what a user names to a TensorFlow checkpoint on this machine, with what describes it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import tensorflow as tf

from kfdet.dataset.formats.archive import list_members, unpack
from kfdet.errors import InputError, KfdetError
from kfdet.events import emit
from kfdet.files import hash_file
from kfdet.parameters import DEFAULT_START, NO_START, PUBLISHED_STARTS, TrainingSettings
from kfdet.records.tfrecord import LABEL_MAP_FILE, read_label_map
from kfdet.training.fitting import AnchorShapes
from kfdet.training.model_folder import DESCRIPTION_FILE, read_description, read_experiment
from kfdet.training.published import COCO_LABELS, published
from kfdet.training.starting_point import TAR_DAMAGE, WEIGHTS_HINT, bundle_of
from kfdet.training.weight_cache import download, obtain

_SCRATCH = "kfdet-weights-"


@dataclass(frozen=True)
class WeightFiles:
    """Weights on this machine.

    Args:
        source: Where they come from, for messages and the record.
        path: Path of a checkpoint as TensorFlow's reader takes it, or of a file of tf_keras (.h5).
        labels: Label names by class id, from 1; empty where nothing beside the weights names them.
        anchors: The anchors that the heads are trained for, where that is known.
        sha256: Digest of the file that was published; "" for other weights.
    """

    source: str
    path: Path
    labels: Mapping[int, str] = field(default_factory=dict)
    anchors: AnchorShapes | None = None
    sha256: str = ""


@contextmanager
def open_start(settings: TrainingSettings) -> Iterator[WeightFiles | None]:
    """The weights that training starts from; a copy of them lasts until the end of the block.

    Gives None where training starts from random weights: because the settings say so, or because
    they leave it open and there are no ImageNet weights, which is reported.

    Raises:
        InputError: There are no such weights, or they are not available here.
    """
    start = settings.pretrained
    if not start:
        start = DEFAULT_START if _can_be_had(settings) else NO_START
    if start == NO_START:
        yield None
    elif start in PUBLISHED_STARTS:
        with _published_weights(start, settings.network) as weights:
            yield weights
    else:
        with local_weights(start, settings.network) as weights:
            yield weights


def _can_be_had(settings: TrainingSettings) -> bool:
    """Whether the weights that training starts from by default are available here.

    Raises:
        InputError: They cannot, and the settings ask to keep some of them.
    """
    try:
        obtain(published(DEFAULT_START, settings.network))
    except KfdetError as error:
        if settings.freeze != "none":
            raise
        # what to do about it does not matter here
        reason = str(error).removesuffix(error.hint) if isinstance(error, InputError) else error
        emit("info", message=f"starting from random weights: {reason}")
        return False
    return True


@contextmanager
def _published_weights(start: str, network: str) -> Iterator[WeightFiles]:
    weights = published(start, network)
    file = obtain(weights)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        keras = file.suffix == ".h5"
        unpacked = file if keras else _unpacked(file, Path(scratch))
        yield WeightFiles(
            source=f"{start} ({weights.url})",
            path=unpacked if keras else _checkpoint_prefix(unpacked, weights.url),
            labels=COCO_LABELS if start == "coco" else {},
            anchors=weights.anchors,
            sha256=hash_file(file),
        )


@contextmanager
def local_weights(source: str, network: str) -> Iterator[WeightFiles]:
    """The checkpoint at `source`; a copy of it lasts until the end of the block.

    Args:
        source: Path, http(s) URL, or bucket URI (minio://, s3://) of a run's folder, a model.zip,
            or a checkpoint.
        network: What to train; only its own anchors are taken over.

    Raises:
        InputError: There is no checkpoint at `source`, or it cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        prefix = _checkpoint_prefix(_local(source, Path(scratch)), source)
        folder = prefix.parent
        if not (folder / DESCRIPTION_FILE).is_file():
            label_map = folder / LABEL_MAP_FILE
            labels = read_label_map(label_map) if label_map.is_file() else {}
            yield WeightFiles(source, prefix, labels)
            return
        description = read_description(folder)
        anchors = _anchors(folder) if description.network == network else None
        yield WeightFiles(source, prefix, dict(enumerate(description.labels, start=1)), anchors)


def _anchors(folder: Path) -> AnchorShapes:
    anchor = read_experiment(folder)["task"]["model"]["anchor"]
    ratios = tuple(anchor["aspect_ratios"])
    return AnchorShapes(anchor["num_scales"], ratios, anchor["anchor_size"])


def _local(source: str, scratch: Path) -> Path:
    scheme = urlparse(source).scheme
    if scheme in ("http", "https"):
        target = scratch / (Path(urlparse(source).path).name or "checkpoint")
        download(source, target)
        return _unpacked(target, scratch)
    if scheme in ("minio", "s3"):
        from kfdet.storage.download import download as download_objects

        return _unpacked(bundle_of(download_objects(source, scratch)), scratch)
    return _unpacked(bundle_of(Path(source).expanduser()), scratch)


def _unpacked(path: Path, scratch: Path) -> Path:
    if not (path.is_file() and (tarfile.is_tarfile(path) or zipfile.is_zipfile(path))):
        return path
    target = scratch / "unpacked"
    free = shutil.disk_usage(scratch).free
    if zipfile.is_zipfile(path):
        unpack(path, target, [member.name for member in list_members(path)], free)
        return target
    try:
        with tarfile.open(path) as archive:
            size = sum(member.size for member in archive)
            if size > free:
                raise InputError(
                    f"unpacks to {size >> 20:,} MiB; there is room for {free >> 20:,} MiB.",
                    file=path,
                    hint="Free some space.",
                )
            archive.extractall(target, filter="data")  # refuses members outside the target
    except TAR_DAMAGE as error:
        raise InputError(f"cannot be unpacked: {error}.", file=path, hint=WEIGHTS_HINT) from error
    return target


def _checkpoint_prefix(path: Path, source: str) -> Path:
    if path.with_name(path.name + ".index").exists():
        return path
    if path.suffix == ".index" and path.exists():
        return path.with_suffix("")
    if (path / "checkpoint").is_dir():  # an unpacked model.zip
        return _checkpoint_prefix(path / "checkpoint", source)
    # The variables of a SavedModel are not a checkpoint of the network.
    indices = [p for p in path.rglob("*.index") if p.parent.name != "variables"]
    if len(indices) > 1:
        with suppress(ValueError):  # the state file is damaged
            if newest := tf.train.latest_checkpoint(str(path)):
                return Path(newest)
    if indices:
        return max(indices, key=lambda p: p.stat().st_mtime).with_suffix("")
    raise InputError("holds no checkpoint.", file=source, hint=WEIGHTS_HINT)
