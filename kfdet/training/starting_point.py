"""The local files that a training starts from, and their digest.

Without TensorFlow, so that a run that finds everything in its cache need not wait for its import.
"""

from __future__ import annotations

import glob
from pathlib import Path

from kfdet.files import hash_files, hash_folder

_BUNDLE = "model.zip"
"""What a run's folder offers for download; its folder checkpoint/ holds the best weights."""


def bundle_of(path: Path) -> Path:
    """The model.zip of a run, if `path` is the run's folder or the SavedModel in it."""
    if (path / _BUNDLE).is_file():
        return path / _BUNDLE
    beside = path.parent / _BUNDLE
    return beside if beside.is_file() and any(path.glob("*/saved_model.pb")) else path


def identity(source: str) -> str:
    """What tells the weights at `source` from others: a digest of the files, or else the address.

    Args:
        source: As for `kfdet.training.warm_start.warm_start`; "" without such weights.
    """
    if not source or "://" in source:
        return source
    path = bundle_of(Path(source).expanduser())
    if path.is_dir():
        return hash_folder(path)
    files = [path] if path.is_file() else path.parent.glob(f"{glob.escape(path.name)}.*")
    return hash_files(files, path.parent)
