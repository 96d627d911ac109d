"""YOLO label files: Ultralytics' layout (data.yaml), darknet's (obj.names) and LabelImg's
(classes.txt).

Read here and not by Datumaro, which reads them only beside their images in one exact layout and
gives no line numbers.
"""  # noqa: D205

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.limits import MAX_YAML_BYTES, whole_number
from kfdet.dataset.formats.model import (
    AnnotatedItem,
    AnnotationSet,
    Item,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import BoxRow, frames_with_boxes, picture_name
from kfdet.errors import InputError, Problem
from kfdet.files import atomic_folder

_RESERVED = frozenset(("classes", "gt", "labels", "readme", "requirements", "test", "train", "val"))
_UPWARDS = re.compile(r"^(\.\./)+")
_LABEL_LINE = re.compile(r"\s*\d+\s")


def rank(path: Path) -> int | None:
    """How well `path` names YOLO's classes: 0 is best, None is not at all."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return 0 if re.search(r"^names\s*:", _text(path, MAX_YAML_BYTES), re.MULTILINE) else None
    if path.suffix.lower() == ".names":
        return 1
    return 2 if path.name.lower() == "classes.txt" else None


def read(path: Path) -> AnnotationSet:
    """Read all label files in and below the folder of a file of class names.

    A label file has the stem of its image; an empty one means that the image shows no object. A row
    is `class x y width height` (centre, shares of the image) or `class x1 y1 x2 y2 x3 y3 ...` (a
    polygon, of which the upright envelope is taken).

    Raises:
        InputError: The class names cannot be read.
    """
    labels = _class_names(path)
    result = AnnotationSet(labels=[labels[i] for i in sorted(labels)])
    for file in sorted(path.parent.rglob("*.txt")):
        relative = file.relative_to(path.parent)
        if file.stem.lower() in _RESERVED or any(p.startswith(".") for p in relative.parts):
            continue
        if not file.is_file():
            continue
        text = _text(file)
        if text.strip() and not _LABEL_LINE.match(text):
            continue
        name = relative.with_suffix("").as_posix()
        source = SourceAnnotations(
            "image", str(file), (name,), names_media_file=False, stop=0, relative=True
        )
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                source.keys.append(_key(line, labels, number))
            except ValueError as error:
                result.problems.append(
                    Problem(
                        "error",
                        f"{error}; the row is left out.",
                        str(file),
                        number,
                        hint="A row is 'class x y width height' with shares of the image.",
                    )
                )
        result.sources.append(source)
    return result


def _text(path: Path, most: int = -1) -> str:
    """The first `most` bytes as text."""
    with path.open("rb") as file:
        return file.read(most).decode("utf-8", errors="replace")


def _key(line: str, labels: dict[int, str], number: int) -> KeyBox:
    first, *rest = line.split()
    number_of_class = whole_number(first)
    if number_of_class not in labels:
        raise ValueError(f"class {first!r} is not among the {len(labels)} class names")
    try:
        values = [float(text) for text in rest]
    except ValueError:
        raise ValueError(f"a coordinate is not a number: {line.strip()!r}") from None
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise ValueError(f"a row of {1 + len(values)} numbers is neither a box nor a polygon")
    return KeyBox(UNTRACKED, labels[number_of_class], 0, *box, line=number)


def _class_names(path: Path) -> dict[int, str]:
    """Class names by number.

    Raises:
        InputError: There are none.
    """
    names: object
    if path.suffix.lower() in (".yaml", ".yml"):
        names = _names_of_yaml(path)
    else:
        names = [line.strip() for line in _text(path).splitlines() if line.strip()]
    found = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(found, dict) or not found:
        raise InputError(
            "holds no class names.", file=path, hint="List them, one for each class number."
        )
    try:
        return {_class_number(number): str(name) for number, name in found.items()}
    except ValueError as error:
        raise InputError(f"{error}.", file=path) from error


def _class_number(key: object) -> int:
    number = whole_number(str(key))
    if number is None:
        raise ValueError(f"the class number {str(key)[:60]!r} is not a whole number")
    return number


def _names_of_yaml(path: Path) -> object:
    """What a data.yaml lists under `names`: every value as text, as it is written.

    Raises:
        InputError: It is not YAML, has no names, or is not as simple as such a file is.
    """
    import yaml

    from kfdet.dataset.formats.yamlfile import TextLoader

    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise yaml.YAMLError(f"it is larger than {MAX_YAML_BYTES >> 20} MiB")
        content = yaml.load(_text(path), TextLoader)  # noqa: S506 it makes nothing but text
        names: object = content["names"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise InputError(f"its 'names' cannot be read: {reason}.", file=path) from error
    if any(not isinstance(name, str) for name in _values(names)):
        raise InputError("a class name is not text.", file=path)
    return names


def _values(names: object) -> Iterable[object]:
    if isinstance(names, dict):
        return names.values()
    return names if isinstance(names, list) else ()


def sides(path: Path) -> dict[str, list[Path]]:
    """Folders and files of images on the sides train, val and test that a data.yaml names.

    Paths are relative to its `path`, or to its own folder; Roboflow's begin with "../" though they
    are meant from there. What does not exist is left out, so that a side may have no place. A .txt
    file lists images.
    """
    import yaml

    from kfdet.dataset.formats.yamlfile import TextLoader

    try:
        content = yaml.load(_text(path, MAX_YAML_BYTES), TextLoader)  # noqa: S506 only text
    except (yaml.YAMLError, ValueError):
        content = None
    if not isinstance(content, dict):
        return {}  # `read` reports it
    found: dict[str, list[Path]] = {}
    bases = [path.parent / str(content.get("path") or ""), path.parent]
    for side, key in (("train", "train"), ("val", "val"), ("val", "valid"), ("test", "test")):
        given = content.get(key)
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, str) and entry:
                places = [
                    base / name for base in bases for name in (entry, _UPWARDS.sub("", entry))
                ]
                # Path.exists raises where a name is too long
                there = next((place for place in places if os.path.exists(place)), None)
                found.setdefault(side, []).extend(_listed(there) if there else [])
    return found


def _listed(place: Path) -> list[Path]:
    """The images that a .txt file lists, one per line, relative to its folder; else the place."""
    if place.suffix.lower() != ".txt" or not place.is_file():
        return [place]
    lines = (line.strip() for line in _text(place).splitlines())
    return [place.parent / line for line in lines if line and "\0" not in line]


def write(entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write Ultralytics' layout: data.yaml, and labels/ that mirrors the folder of images."""
    numbers = {label: number for number, label in enumerate(labels)}
    with atomic_folder(target) as folder:
        # JSON strings are YAML strings, whatever they hold.
        names = "".join(f"  {i}: {json.dumps(label)}\n" for label, i in numbers.items())
        text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
        (folder / "data.yaml").write_text(text, encoding="utf-8")
        for entry in entries:
            for frame, boxes in frames_with_boxes(entry):
                name = PurePosixPath(picture_name(entry.item, frame)).with_suffix(".txt")
                path = folder / "labels" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = [_row(box, numbers, entry.item) for box in boxes]
                path.write_text("".join(rows), encoding="utf-8")


def _row(box: BoxRow, numbers: dict[str, int], item: Item) -> str:
    x = (box["xmin"] + box["xmax"]) / 2 / item.width
    y = (box["ymin"] + box["ymax"]) / 2 / item.height
    width = (box["xmax"] - box["xmin"]) / item.width
    height = (box["ymax"] - box["ymin"]) / item.height
    return f"{numbers[box['label']]} {x:.7f} {y:.7f} {width:.7f} {height:.7f}\n"
