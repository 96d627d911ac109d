"""What a training may start from, checked before anything slow; and the digest of local weights.

Without TensorFlow: a run that finds everything in its cache need not wait for its import.
"""

from __future__ import annotations

import glob
import lzma
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from kfdet.dataset.formats.archive import list_members, read_members
from kfdet.errors import InputError
from kfdet.files import hash_files, hash_folder, parse_json, read_whole
from kfdet.parameters import PUBLISHED_STARTS, TrainingSettings, is_local_start
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.download import is_there
from kfdet.storage.listing import no_objects
from kfdet.training.published import published
from kfdet.training.weight_cache import obtain, reach

WEIGHTS_HINT = (
    "Name the folder of an earlier run, its model.zip, a TensorFlow 2 checkpoint (folder, or path "
    "without .index) or an archive of one (.tar.gz, .zip)."
)

_BUNDLE = "model.zip"
"""What a run's folder offers for download; its folder checkpoint/ holds the best weights."""

_MOST_BYTES = 16 << 20
"""Of model.json, which lists the labels."""

TAR_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What Python raises for a damaged archive."""

_BACKBONES = {"ssd_resnet50_fpn": "resnet50", "faster_rcnn_resnet50": "resnet50"}
"""Networks that share their backbone; every other one has its own."""


def check_start(settings: TrainingSettings, *, here: bool = True) -> None:
    """Find what would stop training at its start, which comes after the frames are extracted.

    Published weights are fetched into the cache meanwhile.

    Args:
        settings: What to train.
        here: Whether training will run on this machine, with its files, cache and network.

    Raises:
        InputError: The weights to start from do not exist, cannot be fetched, or are of another
            network.
    """
    start = settings.pretrained
    if start in PUBLISHED_STARTS:
        weights = published(start, settings.network)
        if here:
            obtain(weights)
    elif here and start.startswith(("http://", "https://")):
        reach(start).close()
    elif is_bucket_uri(start):
        if not is_there(start):
            raise no_objects(start)
    elif is_local_start(start):
        _check_files(start, settings.network)


def _check_files(source: str, network: str) -> None:
    path = bundle_of(Path(source).expanduser())
    names = _names(path)
    # The variables of a SavedModel are not a checkpoint of the network.
    if not any(name.endswith(".index") and "variables/" not in name for name in names):
        raise InputError("holds no checkpoint.", file=source, hint=WEIGHTS_HINT)
    other = _trained_network(path)
    if other and _BACKBONES.get(other, other) != _BACKBONES.get(network, network):
        raise InputError(
            f"its network is {other}, of which nothing fits {network}.",
            file=source,
            hint=f"Train the same network (--network {other}), or start from other weights.",
        )


def _names(path: Path) -> list[str]:
    """Names of the files in an archive or a folder, or of those of a checkpoint."""
    if path.is_file() and zipfile.is_zipfile(path):
        return [member.name for member in list_members(path)]
    try:
        if path.is_file() and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                return archive.getnames()
    except TAR_DAMAGE as error:
        raise InputError(f"cannot be unpacked: {error}.", file=path, hint=WEIGHTS_HINT) from error
    if path.is_dir():
        return [each.relative_to(path).as_posix() for each in path.rglob("*.index")]
    beside = path.parent.glob(f"{glob.escape(path.name.removesuffix('.index'))}.index")
    return [each.name for each in beside]


def _trained_network(path: Path) -> str:
    """The network that the model.json of local weights names; "" where there is none."""
    inside = ("checkpoint/model.json", "model.json")
    if path.is_file() and zipfile.is_zipfile(path):
        found = read_members(path, inside, _MOST_BYTES)
    else:
        folder = path if path.is_dir() else path.parent
        there = [name for name in inside if (folder / name).is_file()]
        found = {name: read_whole(folder / name, _MOST_BYTES) for name in there}
    for name in inside:
        if name in found:
            return parse_json(found[name], _Network, path / name, hint=WEIGHTS_HINT).network
    return ""


@dataclass(frozen=True, slots=True)
class _Network:
    network: str = ""


def bundle_of(path: Path) -> Path:
    """The model.zip of a run, if `path` is the run's folder or the SavedModel in it."""
    if (path / _BUNDLE).is_file():
        return path / _BUNDLE
    beside = path.parent / _BUNDLE
    return beside if beside.is_file() and any(path.glob("*/saved_model.pb")) else path


def identity(source: str) -> str:
    """What tells the weights at `source` from others: a digest of the files, or else the address.

    Args:
        source: As `kfdet.parameters.TrainingSettings.pretrained`.
    """
    if not is_local_start(source):
        return source
    path = bundle_of(Path(source).expanduser())
    if path.is_dir():
        return hash_folder(path)
    files = [path] if path.is_file() else path.parent.glob(f"{glob.escape(path.name)}.*")
    return hash_files(files, path.parent)
