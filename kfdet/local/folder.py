"""The folder of a run: who may work in it, which artifacts stay, and the fixed names in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import NonNegativeFloat

from kfdet.dataset.zipped import is_zip
from kfdet.detection.tflite import tflite_name
from kfdet.errors import InputError, KfdetError
from kfdet.files import atomic_file, atomic_folder, lock_folder, read_json_as
from kfdet.parameters import Precision

LOCK = ".kfdet-run"
"""Marks a folder as a run's; locked while a run works in it."""

ARTIFACTS = "artifacts"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
CACHE = ".cache"
LOG = "run.log"
METRICS = "metrics.json"
SWEEP = "sweep.json"
RECORD = "run.json"
REWRITE = "Delete it and repeat the run: it is written anew."
"""What to do about a damaged file with one of these names."""

PUBLISHED = {
    "report.html": ("report", ""),
    METRICS: ("metrics", ""),
    "boxes.parquet": ("boxes", ""),
    "label_map.pbtxt": ("records", "label_map.pbtxt"),
    "model": ("saved_model", ""),
    **{tflite_name(each): ("tflite", tflite_name(each)) for each in get_args(Precision)},
    "model.zip": ("bundle", ""),
    "detections.mp4": ("gallery", "detections.mp4"),
    "detections.png": ("gallery", "detections.png"),
    SWEEP: ("sweep", ""),
    "sweep.html": ("comparison", ""),
}
"""Fixed name in the run's folder -> pipeline output and the path inside it."""

_ROOT = "${RUN}"
"""What the run's folder is called in cache entries, which therefore survive a move of it."""

_OPTIONAL = {
    tflite_name("float16"),
    tflite_name("int8"),
    "detections.mp4",
    "detections.png",
    SWEEP,
    "sweep.html",
}


def check_places(dataset: Path | None, folder: Path) -> None:
    """Refuse a dataset that is neither folder nor zip, and a run folder with files of others.

    Args:
        dataset: The dataset's folder or zip; None where it is in a bucket.
        folder: The run's folder.

    Raises:
        InputError: With what to do instead.
    """
    if dataset is not None:
        _check_dataset(dataset, folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file.", file=folder, hint="Choose another output folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise InputError(
            "contains files that do not belong to a run.",
            file=folder,
            hint="Choose a new or empty output folder.",
        )


def _check_dataset(dataset: Path, folder: Path) -> None:
    if not dataset.exists():
        raise InputError("no such folder.", file=dataset, hint="Give the folder of the dataset.")
    if is_zip(dataset):
        return
    if not dataset.is_dir():
        raise InputError("is a file.", file=dataset, hint="Give the folder that holds it.")
    if folder.resolve().is_relative_to(dataset.resolve()):
        raise InputError(
            "lies inside the dataset.", file=folder, hint="Choose an output folder outside it."
        )


def locked(folder: Path) -> AbstractContextManager[int]:
    """Hold the run folder for this process: see `kfdet.files.lock_folder`."""
    return lock_folder(folder, LOCK, "another run (process {}) works in this folder.")


def portable(value: Any, folder: Path) -> Any:
    """`value` (as in JSON) with `${RUN}` in place of the run's folder at the start of a text."""
    root = str(folder)
    return _texts(
        value,
        lambda text: _ROOT + text.removeprefix(root) if f"{text}/".startswith(f"{root}/") else text,
    )


def located(value: Any, folder: Path) -> Any:
    """The inverse of `portable`: paths as they are in the run's folder now."""
    return _texts(
        value,
        lambda text: str(folder) + text.removeprefix(_ROOT) if text.startswith(_ROOT) else text,
    )


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _texts(item, change) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the cache.

    Args:
        outputs: Those of the task, as KFP writes them.
        seconds: How long it took.
        finished: When it did, ISO 8601.
    """

    outputs: dict[str, Any]
    seconds: NonNegativeFloat
    finished: str


def read_entry(path: Path) -> Entry | None:
    """An entry of the cache; None where it is damaged: its task is run again."""
    with suppress(InputError):
        return read_json_as(path, Entry)
    return None


def prune(artifacts: Path, cache: Path | None = None, keys: set[str] | None = None) -> None:
    """Delete the artifacts that no cache entry refers to: remains of killed and superseded runs.

    Args:
        artifacts: The run's artifact folder, which holds the cache entries as well.
        cache: Where given, every entry outside this cache folder is dropped first ...
        keys: ... and every entry in it but these.
    """
    caches = artifacts / CACHE
    if cache is not None:
        for other in caches.iterdir():
            if other != cache:
                shutil.rmtree(other)
        for entry in cache.iterdir():
            if entry.stem not in (keys or set()):
                entry.unlink()
    referenced: set[Path] = set()
    for file in caches.glob("*/*.json"):
        found = read_entry(file)
        if found is None:
            file.unlink()
            continue
        referenced |= {
            Path(value["uri"])
            for value in located(found.outputs, artifacts.parent).values()
            if isinstance(value, dict) and isinstance(value.get("uri"), str)
        }
    ancestors = {parent for path in referenced for parent in path.parents}

    def sweep(folder: Path) -> None:
        for child in folder.iterdir():
            if child in ancestors:
                sweep(child)
            elif child not in referenced and child != caches:
                if child.is_dir() and not child.is_symlink():
                    shutil.rmtree(child)
                else:
                    child.unlink()

    if artifacts.is_dir():
        sweep(artifacts)


def prune_checkpoints(folder: Path, trainings: int = 1) -> None:
    """Keep only the checkpoints of the `trainings` that wrote last; each has its own folder."""
    found = [path for path in (folder / CHECKPOINTS).iterdir() if path.is_dir()]
    for path in sorted(found, key=lambda path: -path.stat().st_mtime)[trainings:]:
        shutil.rmtree(path)


def publish(folder: Path, outputs: dict[str, Any]) -> list[str]:
    """Copy the pipeline's outputs to their fixed names, each whole or not at all.

    Args:
        folder: The run's folder.
        outputs: Path of each artifact by the name of the pipeline's output.

    Returns:
        The names that are there now.

    Raises:
        KfdetError: A stage did not write what it should.
    """
    names = []
    for name, (output, inside) in PUBLISHED.items():
        target = folder / name
        source = Path(outputs[output], inside) if output in outputs else None
        if source and source.is_dir():
            with atomic_folder(target) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
        elif source and source.is_file():
            with atomic_file(target) as temporary:
                shutil.copyfile(source, temporary)
        elif name in _OPTIONAL:  # that of an earlier run does not belong to this one
            target.unlink(missing_ok=True)
            continue
        else:
            raise KfdetError(f"The pipeline ended without writing {name} ({source}).")
        names.append(name)
    return names
