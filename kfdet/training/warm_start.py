"""Start from the weights of an earlier training: take what fits, and name what does not."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import requests
import tensorflow as tf

from kfdet.errors import InputError
from kfdet.events import Progress, emit, warn
from kfdet.training.starting_point import bundle_of

_HINT = (
    "Name the folder of an earlier run, its model.zip, a TensorFlow 2 checkpoint (folder, or path "
    "without .index) or an archive of one (.tar.gz, .zip)."
)
_CHUNK = 1 << 20


def warm_start(model: Any, source: str) -> None:
    """Read the weights at `source` into `model`, part by part (backbone, decoder, heads).

    Args:
        model: A detection model of Model Garden.
        source: Path, http(s) URL, or bucket URI (minio://, s3://) of a run's folder, a model.zip,
            or a checkpoint.

    Raises:
        InputError: There is no checkpoint at `source`, or no part of it fits.
    """
    with tempfile.TemporaryDirectory(prefix="kfdet-init-") as scratch:
        prefix = _checkpoint_prefix(_local(source, Path(scratch)), source)
        parts = _parts(model)
        taken = [name for name, part in parts.items() if _read(part, name, prefix)]
        left_out = [name for name in parts if name not in taken]
    if not taken:
        raise InputError(
            "no part of this checkpoint fits the network.",
            file=source,
            hint="Use a checkpoint of the same network (the backbone at least).",
        )
    if left_out:
        warn(f"{source}: {', '.join(left_out)} do not fit and start from scratch")
    count = {name: _count_layers(part) for name, part in parts.items()}
    fitting = sum(count[name] for name in taken)
    emit(
        "info",
        message=f"starting from {source}: {', '.join(taken)} "
        f"({fitting} of {sum(count.values())} layers fit)",
    )


def _parts(model: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name, part in model.checkpoint_items.items():
        if isinstance(part, (list, tuple)):
            parts |= {f"{name}/{index}": each for index, each in enumerate(part)}
        else:
            parts[name] = part
    return parts


def _count_layers(part: Any) -> int:
    """Layers that have weights of their own, not only their sublayers'."""
    return sum(
        bool(getattr(module, "weights", ()))
        and not any(getattr(below, "weights", ()) for below in module.submodules)
        for module in part.submodules
    )


def _read(part: Any, name: str, prefix: str) -> bool:
    before = part.get_weights()
    root, _, index = name.partition("/")
    items = {root: [tf.Module()] * int(index) + [part]} if index else {root: part}
    try:
        status = tf.train.Checkpoint(**items).read(prefix)
        status.expect_partial()
        status.assert_existing_objects_matched()
    except (ValueError, AssertionError, tf.errors.OpError):
        part.set_weights(before)
        return False
    return True


def _local(source: str, scratch: Path) -> Path:
    scheme = urlparse(source).scheme
    if scheme in ("http", "https"):
        return _unpacked(_download(source, scratch), scratch)
    if scheme in ("minio", "s3"):
        from kfdet.storage.download import download

        return _unpacked(bundle_of(download(source, scratch)), scratch)
    return _unpacked(bundle_of(Path(source).expanduser()), scratch)


def _download(url: str, folder: Path) -> Path:
    target = folder / (Path(urlparse(url).path).name or "checkpoint")
    try:
        with requests.get(url, stream=True, timeout=60) as answer:
            answer.raise_for_status()
            size = int(answer.headers.get("Content-Length", 0))
            progress = Progress("downloading the checkpoint", size, "bytes")
            with target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    progress.advance(len(chunk))
    except requests.RequestException as error:
        raise InputError(
            f"cannot be downloaded: {error}.",
            file=url,
            hint="Check the address and the network, or give a local path.",
        ) from error
    return target


def _unpacked(path: Path, scratch: Path) -> Path:
    if not (path.is_file() and (tarfile.is_tarfile(path) or zipfile.is_zipfile(path))):
        return path
    target = scratch / "unpacked"
    kind = "zip" if zipfile.is_zipfile(path) else "tar"
    if kind == "tar":
        kind = {"gz": "gztar", "tgz": "gztar", "bz2": "bztar", "xz": "xztar"}.get(
            path.suffix.lstrip("."), "tar"
        )
    try:
        # The data filter refuses members outside the target; zip members are kept inside anyway.
        shutil.unpack_archive(path, target, kind, filter=None if kind == "zip" else "data")
    except (shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise InputError(f"cannot be unpacked: {error}.", file=path, hint=_HINT) from error
    return target


def _checkpoint_prefix(path: Path, source: str) -> str:
    if path.with_name(path.name + ".index").exists():
        return str(path)
    if path.suffix == ".index" and path.exists():
        return str(path.with_suffix(""))
    if (path / "checkpoint").is_dir():  # an unpacked model.zip
        return _checkpoint_prefix(path / "checkpoint", source)
    if path.is_dir():
        newest = tf.train.latest_checkpoint(str(path))
        if newest:
            return str(newest)
        # The variables of a SavedModel are not a checkpoint of the network.
        indices = [p for p in path.rglob("*.index") if p.parent.name != "variables"]
        if indices:
            return str(max(indices, key=lambda p: p.stat().st_mtime).with_suffix(""))
    raise InputError("holds no checkpoint.", file=source, hint=_HINT)
