"""The record of a run, run.json: dataset, code and outputs by their digests, versions, stages."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat, NonNegativeInt

from kfdet.dataset.several import join_datasets, split_datasets
from kfdet.errors import InputError
from kfdet.files import hash_file, hash_files, read_document
from kfdet.local.folder import RECORD, REWRITE
from kfdet.parameters import Gate
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.fingerprint import fingerprint, outline

LIBRARIES = (
    "kfdet",
    "kfp",
    "tensorflow",
    "tf-models-official",
    "numpy",
    "pyarrow",
    "av",
    "opencv-python-headless",
    "simplejpeg",
    "datumaro",
)
"""The libraries whose version may change a stage's output."""


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """The dataset of a run.

    Args:
        path: Absolute path, or bucket URI; or several (see `kfdet.dataset.several`).
        version: Its fingerprint: changes when a file is added, removed or written.
        content: Changes when the name or the size of a file does; survives a copy.
    """

    path: str
    version: str
    content: str

    @classmethod
    def of(cls, dataset: str) -> DatasetRecord:
        """Describe the dataset in a folder or at a bucket URI, or several of them.

        Raises:
            InputError: The folder is missing, or the bucket cannot be read or holds nothing there.
        """
        path = join_datasets(
            place if is_bucket_uri(place) else str(Path(place).resolve())
            for place in split_datasets(dataset)
        )
        return cls(path, fingerprint(path), outline(path))


@dataclass(slots=True)
class StageRecord:
    """One stage of a run.

    Args:
        stage: Its name.
        tasks: How many tasks it has: one per group in the stages that work on groups.
        cached: How many of them an earlier run had computed.
        seconds: Time that the tasks took when they were computed, added up.
        finished: When the last of them was computed, ISO 8601.
    """

    stage: str
    tasks: int = 0
    cached: int = 0
    seconds: float = 0.0
    finished: str = ""

    def add(self, seconds: float, finished: str, *, cached: bool) -> None:
        """Count one task."""
        self.tasks += 1
        self.cached += cached
        self.seconds = round(self.seconds + seconds, 3)
        self.finished = max(self.finished, finished)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of the last finished run in `folder`; None where there is none.

    Raises:
        InputError: It is damaged.
    """
    path = folder / RECORD
    return read_document(path, _Record, hint=REWRITE) if path.is_file() else None


@dataclass(frozen=True, slots=True)
class _Dataset:
    path: str
    version: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class _Stage:
    stage: str
    tasks: NonNegativeInt
    cached: NonNegativeInt
    seconds: NonNegativeFloat


@dataclass(frozen=True, kw_only=True)
class _Parameters(Gate):
    seed: NonNegativeInt


@dataclass(frozen=True, slots=True)
class _Record:
    """What a reader of run.json may rely on; `kfdet.local.runner` writes it."""

    dataset: _Dataset
    parameters: _Parameters
    stages: list[_Stage]


def check_same_dataset(dataset: DatasetRecord, record: dict[str, Any], folder: Path) -> None:
    """Refuse to replace a run of another dataset; one that was moved or changed is the same.

    Raises:
        InputError: `record` is of a dataset with another path and another content.
    """
    before = record["dataset"]
    if dataset.path != before["path"] and dataset.content != before.get("content"):
        raise InputError(
            f"holds a run of another dataset, {before['path']}.",
            file=folder,
            hint="Choose another output folder, or replace that run with --replace.",
        )


def _files(root: Path) -> Iterator[Path]:
    """Every file below `root` in sorted order; links to folders are followed, each once."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def versions() -> dict[str, str]:
    """Installed version of each library that may change an output; the absent ones left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_version() -> str:
    """A digest of the installed kfdet source, the Python version and the libraries' versions.

    On one machine it has the role of an image's digest on a cluster: after a change of the code
    everything is computed again.
    """
    digest = hashlib.sha256(f"{platform.python_version()} {versions()}".encode())
    for package in ("kfdet", "kfdet.components", "kfdet.pipelines"):
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            sources = [p for p in _files(Path(root)) if "__pycache__" not in p.parts]
            digest.update(f"{package} {hash_files(sources, Path(root))}".encode())
    return digest.hexdigest()[:16]


def hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of every file below `names` in `folder`, by its path relative to `folder`."""
    found = {}
    for name in names:
        path = folder / name
        for file in _files(path) if path.is_dir() else [path]:
            found[file.relative_to(folder).as_posix()] = hash_file(file)
    return found
