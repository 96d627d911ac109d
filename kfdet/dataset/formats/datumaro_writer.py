"""Writers that Datumaro provides: COCO and its own format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from kfdet.dataset.formats.model import UNTRACKED, Labelled
from kfdet.dataset.formats.table_writers import frames
from kfdet.dataset.media_index import picture_name
from kfdet.files import atomic_file, atomic_folder


def write_coco(entries: Sequence[Labelled], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write annotations/instances_default.json, or `target` if that is a file."""
    _export(entries, labels, target, "coco_instances")


def write_datumaro(
    entries: Sequence[Labelled], labels: Sequence[str], target: Path, _: bool
) -> None:
    """Write Datumaro's own format: annotations/default.json, or `target` if that is a file."""
    _export(entries, labels, target, "datumaro")


def _export(entries: Sequence[Labelled], labels: Sequence[str], target: Path, plugin: str) -> None:
    # Importing Datumaro takes most of a second, which other formats need not pay.
    import datumaro

    numbers = {label: number for number, label in enumerate(labels)}
    items = []
    for entry in entries:
        for frame, rows in frames(entry):
            name = picture_name(entry.item, frame)
            boxes = [
                datumaro.Bbox(
                    round(row["xmin"], 3),
                    round(row["ymin"], 3),
                    round(row["xmax"] - row["xmin"], 3),
                    round(row["ymax"] - row["ymin"], 3),
                    label=numbers[row["label"]],
                    id=number,
                    group=number,
                    attributes={"occluded": row["occluded"]}
                    | ({} if row["track_id"] == UNTRACKED else {"track_id": row["track_id"]}),
                )
                for number, row in enumerate(rows, 1)
            ]
            media = datumaro.Image.from_file(path=name, size=(entry.item.height, entry.item.width))
            stem = PurePosixPath(name).with_suffix("").as_posix()
            items.append(datumaro.DatasetItem(id=stem, media=media, annotations=boxes))
    dataset = datumaro.Dataset.from_iterable(items, categories=list(labels))
    if target.suffix != ".json":
        with atomic_folder(target) as folder:
            _save(dataset, folder, plugin)
        return
    with TemporaryDirectory() as temporary, atomic_file(target) as path:
        _save(dataset, Path(temporary), plugin)
        written = next(Path(temporary).rglob("*.json"))
        path.write_bytes(written.read_bytes())


def _save(dataset: Any, folder: Path, plugin: str) -> None:
    from datumaro.components.errors import DatumaroError

    try:
        dataset.export(os.fspath(folder), plugin, save_media=False)
    except DatumaroError as error:
        # A full disk must look like one.
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise
