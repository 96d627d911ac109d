"""Datumaro's own JSON, read and written by Datumaro."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import values
from kfdet.dataset.formats.model import (
    AnnotatedItem,
    AnnotationSet,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import BoxRow, frames_with_boxes, picture_name
from kfdet.errors import InputError, Problem
from kfdet.files import atomic_file, atomic_folder

CROWD = "crowd"
"""Attribute of a box that is a region: Datumaro's exporters drop one called is_crowd."""
_DRIVE = re.compile(r"[A-Za-z]:")


def read(path: Path) -> AnnotationSet:
    """Read one JSON of a Datumaro dataset: one source per item, boxes in pixels.

    Boxes that a video tool marked as outside are left out.

    Raises:
        InputError: Datumaro cannot read it.
    """
    # Importing Datumaro takes most of a second, which users of other formats need not pay.
    import datumaro

    result = AnnotationSet()
    try:
        dataset = datumaro.Dataset.import_from(str(path), "datumaro")
        labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
        items = list(dataset)
    except Exception as error:
        # Datumaro wraps whatever its parser raised, of any type.
        raise InputError(
            f"Datumaro cannot read it: {error.__cause__ or error}.",
            file=path,
            hint="Export it again.",
        ) from error
    result.labels = labels
    known = range(len(labels))
    skipped = 0
    for item in items:
        media = Path(getattr(item.media, "path", "") or item.id)
        source = SourceAnnotations("image", str(path), (media.name, item.id), stop=0)
        size = item.media.size if item.media is not None else None
        if size:
            try:
                source.height, source.width = (values.whole(side, "a size") for side in size)
            except ValueError as error:
                problem = f"item {item.id[:60]!r} {error}; it is left out."
                result.problems.append(Problem("error", problem, str(path), hint="Correct it."))
                continue
        for annotation in item.annotations:
            more = annotation.attributes
            if annotation.type != datumaro.AnnotationType.bbox or annotation.label not in known:
                skipped += annotation.type != datumaro.AnnotationType.label
                continue
            if more.get("outside"):
                continue
            try:
                rotation = values.number(more.get("rotation") or 0.0, "a rotation")
                sides = [values.number(side, "a side") for side in annotation.get_bbox()]
            except ValueError as error:
                problem = f"a box of item {item.id[:60]!r} {error}; it is left out."
                result.problems.append(Problem("error", problem, str(path), hint="Correct it."))
                continue
            x, y, width, height = sides
            source.keys.append(
                KeyBox(
                    UNTRACKED,
                    labels[annotation.label],
                    0,
                    x,
                    y,
                    x + width,
                    y + height,
                    rotation,
                    occluded=bool(more.get("occluded")),
                    difficult=bool(more.get("difficult")),
                    crowd=any(bool(more.get(name)) for name in (CROWD, "is_crowd")),
                )
            )
        result.sources.append(source)
    if skipped:
        text = f"{skipped} annotations are left out: only boxes with a label are read."
        result.problems.append(Problem("warning", text, str(path)))
    return result


def write(entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write Datumaro's own format: annotations/default.json, or `target` if that is a file."""
    export(entries, labels, target, "datumaro")


def export(
    entries: Sequence[AnnotatedItem],
    labels: Sequence[str],
    target: Path,
    plugin: str,
    finish: Callable[[Path], None] = lambda file: None,
) -> None:
    """Write boxes with one of Datumaro's exporters.

    Args:
        entries: The items with their boxes.
        labels: All label names; their order numbers them.
        target: The folder to write, or a .json file where the format is one file.
        plugin: Datumaro's name of the format.
        finish: Called with the JSON file that was written.
    """
    # Importing Datumaro takes most of a second, which other formats need not pay.
    import datumaro

    numbers = {label: number for number, label in enumerate(labels)}
    items = []
    for entry in entries:
        for frame, rows in frames_with_boxes(entry):
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
                    attributes=_attributes(row),
                )
                for number, row in enumerate(rows, 1)
            ]
            media = datumaro.Image.from_file(path=name, size=(entry.item.height, entry.item.width))
            stem = PurePosixPath(name).with_suffix("").as_posix()
            # Datumaro would take the `a:` of a file `a:b.jpg` for a drive of Windows.
            number = f"./{stem}" if _DRIVE.match(stem) else stem
            items.append(datumaro.DatasetItem(id=number, media=media, annotations=boxes))
    dataset = datumaro.Dataset.from_iterable(items, categories=list(labels))
    if target.suffix != ".json":
        with atomic_folder(target) as folder:
            finish(_save(dataset, folder, plugin))
        return
    with TemporaryDirectory() as temporary, atomic_file(target) as path:
        written = _save(dataset, Path(temporary), plugin)
        finish(written)
        path.write_bytes(written.read_bytes())


def _attributes(row: BoxRow) -> dict[str, Any]:
    attributes = {"occluded": row["occluded"]}
    attributes |= {name: True for name in ("difficult", CROWD) if row[name]}
    if row["track_id"] != UNTRACKED:
        attributes["track_id"] = row["track_id"]
    return attributes


def _save(dataset: Any, folder: Path, plugin: str) -> Path:
    from datumaro.components.errors import DatumaroError

    try:
        dataset.export(os.fspath(folder), plugin, save_media=False)
    except DatumaroError as error:
        # A full disk must look like one.
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise
    return next(folder.rglob("*.json"))
