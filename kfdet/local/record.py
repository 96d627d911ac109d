"""What identifies a run: digests of the dataset, of kfdet itself and of the outputs; versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from kfdet.files import hash_file, hash_files

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


def dataset_version(dataset: Path) -> str:
    """A digest that changes when a file of the dataset is added, removed or written.

    Name, size and modification time of each file: a dataset of gigabytes takes milliseconds.
    """
    digest = hashlib.sha256()
    for path in _files(dataset):
        try:
            state = path.stat()
        except FileNotFoundError:  # a dangling link
            continue
        name = path.relative_to(dataset).as_posix()
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


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

    It does for a run on one machine what an image digest does on a cluster: changed code computes
    anew.
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
