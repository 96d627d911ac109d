"""Several datasets in one run: one text names them, and each has a folder of its own below a root.

Names of videos and images then begin with the folder of their dataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from kfdet.dataset.zipped import is_zip
from kfdet.errors import InputError
from kfdet.parameters import join_list, split_list

ALONE = ("",)
"""The folders of one dataset: the root itself."""


def join_datasets(datasets: Iterable[str]) -> str:
    """One text for the folders and bucket URIs of datasets, which `split_datasets` reads."""
    return join_list(datasets)


def split_datasets(text: str) -> list[str]:
    """The datasets that a text names: one folder, zip or bucket URI, or several.

    Raises:
        InputError: A dataset is there twice, or is a zip in a bucket.
    """
    if os.path.exists(text):  # unlike Path.exists(), it raises nothing where no name is so long
        return [text]
    datasets = split_list(text) or [text]
    for dataset in datasets:
        if datasets.count(dataset) > 1:
            raise InputError("is given twice.", file=dataset, hint="Name every dataset once.")
        if "://" in dataset and dataset.lower().endswith(".zip"):
            raise InputError(
                "is a zip; in a bucket, a dataset is a folder of files.",
                file=dataset,
                hint="'kfdet upload FILE.zip URI' uploads what a zip holds.",
            )
    return datasets


def part_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """The folder of each dataset below the root: its own name, numbered where two have one."""
    if len(datasets) < 2:
        return ALONE
    names: list[str] = []
    for dataset in datasets:
        path = dataset if "://" in dataset else str(Path(dataset).resolve())
        name = PurePosixPath(path.rstrip("/")).name or "dataset"
        if is_zip(dataset):
            name = PurePosixPath(name).stem
        number, free = 1, name
        while free in names:
            number += 1
            free = f"{name}-{number}"
        names.append(free)
    return tuple(names)
