"""CSV with one row per box: that of the TensorFlow tutorials, and that of Google's AutoML Vision.

The tutorials' has a heading, whose order and exact names differ from tool to tool:
`filename,width,height,class,xmin,ymin,xmax,ymax`, in pixels. AutoML's has none:
`TRAIN,gs://bucket/photo.jpg,label,xmin,ymin,,,xmax,ymax,,`, as shares of the image, and the first
column is the side of the split
(cloud.google.com/vision/automl/object-detection/docs/csv-format).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.model import (
    SIDE_NAMES,
    AnnotatedItem,
    AnnotationSet,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import frames_with_boxes, picture_name
from kfdet.errors import InputError, Problem
from kfdet.files import atomic_file

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
_NAMES = {
    "filename": ("filename", "file", "image", "image_name", "image_path", "path", "frame"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
    "class": ("class", "label", "class_name", "label_name", "name", "classname"),
    "xmin": ("xmin", "x_min", "x1", "left"),
    "ymin": ("ymin", "y_min", "y1", "top"),
    "xmax": ("xmax", "x_max", "x2", "right"),
    "ymax": ("ymax", "y_max", "y2", "bottom"),
}
"""What tools call the columns."""
_NEEDED = ("filename", "class", "xmin", "ymin", "xmax", "ymax")
_AUTOML_SIDES = ("TRAIN", "TRAINING", "VALIDATE", "VALIDATION", "TEST", "UNASSIGNED")
_AUTOML_PLACES = ((3, 4), (5, 6), (7, 8), (9, 10))
"""Columns of the corners; two opposite ones are enough."""


_NOWHERE = ("", ""), ("", "")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: text as it stands in the file."""

    line: int
    name: str
    label: str
    sides: tuple[str, str, str, str]
    size: tuple[str, str] = ("", "")
    side: str = ""


def recognise(head: str) -> str | None:
    """Whether the first row of a file is a "heading", or of "automl"; None where it is neither."""
    try:
        first = next(csv.reader(head.splitlines()[:1]), [])
    except csv.Error:
        return None
    if set(_NEEDED) <= _columns(first).keys():
        return "heading"
    if len(first) in (9, 10, 11) and first[0].strip().upper() in _AUTOML_SIDES:
        return "automl"
    return None


def read(path: Path) -> AnnotationSet:
    """Read a file: one source per image. A row without label and box is an image without objects.

    Raises:
        InputError: The columns are not known, or the file is damaged.
    """
    file = str(path)
    result = AnnotationSet()
    sources: dict[str, SourceAnnotations] = {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        kind = recognise(stream.readline())
        if kind is None:
            hint = f"The first row names the columns: {','.join(COLUMNS)}."
            raise InputError("has no columns that kfdet knows.", file=path, hint=hint)
        stream.seek(0)
        rows = _with_heading(stream) if kind == "heading" else _of_automl(stream)
        try:
            for row in rows:
                _add(row, file, kind == "automl", sources, result.problems)
        except csv.Error as error:
            raise InputError(f"is not CSV: {error}.", file=path, hint="Export it again.") from error
    result.sources = list(sources.values())
    result.labels = sorted({key.label for source in result.sources for key in source.keys})
    return result


def _columns(heading: Sequence[str]) -> dict[str, int]:
    """Position of each known column."""
    places = {name.strip().lstrip("\ufeff").lower(): i for i, name in enumerate(heading)}
    found = {}
    for column, names in _NAMES.items():
        place = next((places[name] for name in names if name in places), None)
        if place is not None:
            found[column] = place
    return found


def _with_heading(stream: Iterator[str]) -> Iterator[_Row]:
    reader = csv.reader(stream)
    columns = _columns(next(reader))
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue

        def cell(name: str, cells: list[str] = cells) -> str:
            place = columns.get(name, len(cells))
            return cells[place].strip() if place < len(cells) else ""

        yield _Row(
            reader.line_num,
            cell("filename"),
            cell("class"),
            (cell("xmin"), cell("ymin"), cell("xmax"), cell("ymax")),
            (cell("width"), cell("height")),
        )


def _of_automl(stream: Iterator[str]) -> Iterator[_Row]:
    reader = csv.reader(stream)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        side, name, label, *_ = (*(cell.strip() for cell in cells), "", "", "")
        corners = [
            (cells[x].strip(), cells[y].strip())
            for x, y in _AUTOML_PLACES
            if y < len(cells) and cells[x].strip()
        ]
        # Of four corners, clockwise from the first one, the third is opposite.
        low, high = (corners[0], corners[2 if len(corners) == 4 else -1]) if corners else _NOWHERE
        yield _Row(reader.line_num, name, label, (*low, *high), side=side)


def _add(
    row: _Row,
    file: str,
    relative: bool,
    sources: dict[str, SourceAnnotations],
    problems: list[Problem],
) -> None:
    """Put the box of a row on its image; a bad row becomes a problem."""
    try:
        if not row.name:
            raise ValueError("the row names no image")
        if row.name not in sources:
            sources[row.name] = SourceAnnotations(
                "image", file, (row.name,), stop=0, relative=relative
            )
        source = sources[row.name]
        source.side = SIDE_NAMES.get(row.side.lower(), "")
        if all(text.isdecimal() and len(text) < 10 for text in row.size):
            source.width, source.height = map(int, row.size)
        if not row.label and not any(row.sides):
            return
        if not row.label:
            raise ValueError("the box has no label")
        source.keys.append(KeyBox(UNTRACKED, row.label, 0, *_numbers(row.sides), line=row.line))
    except ValueError as error:
        problem = f"{error}; the row is left out."
        problems.append(Problem("error", problem, file, row.line, hint="Correct the row."))


def _numbers(sides: tuple[str, str, str, str]) -> tuple[float, float, float, float]:
    for name, text in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True):
        try:
            float(text)
        except ValueError:
            raise ValueError(f"{name} is not a number: {text!r}") from None
    xmin, ymin, xmax, ymax = map(float, sides)
    return xmin, ymin, xmax, ymax


def write(entries: Sequence[AnnotatedItem], _: Sequence[str], target: Path, __: bool) -> None:
    """Write one file as the TensorFlow tutorials have it; images without objects have rows, too."""
    with atomic_file(target) as path, path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for entry in entries:
            size = (entry.item.width, entry.item.height)
            for frame, boxes in frames_with_boxes(entry):
                name = PurePosixPath(picture_name(entry.item, frame)).as_posix()
                if not boxes:
                    writer.writerow((name, *size, *[""] * 5))
                for box in boxes:
                    sides = (f"{box[side]:.3f}".rstrip("0").rstrip(".") for side in COLUMNS[4:])
                    writer.writerow((name, *size, box["label"], *sides))
