"""YOLO label files: Ultralytics' layout (data.yaml), darknet's (obj.names) and LabelImg's
(classes.txt).

Read here and not by Datumaro, which reads them only beside their images in one exact layout and
gives no line numbers.
"""  # noqa: D205

from __future__ import annotations

import re
from pathlib import Path

from kfdet.dataset.formats.model import UNTRACKED, AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import InputError, Problem

_RESERVED = frozenset(("classes", "gt", "labels", "readme", "requirements", "test", "train", "val"))
_LABEL_LINE = re.compile(r"\s*\d+\s")


def rank(path: Path) -> int | None:
    """How well `path` names YOLO's classes: 0 is best, None is not at all."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return 0 if re.search(r"^names\s*:", _text(path), re.MULTILINE) else None
    if path.suffix.lower() == ".names":
        return 1
    return 2 if path.name.lower() == "classes.txt" else None


def read(path: Path) -> AnnotationSet:
    """Read all label files in and below the folder of a file of class names.

    A label file has the stem of its image; an empty one says that the image shows no object. A row
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
        text = _text(file)
        if text.strip() and not _LABEL_LINE.match(text):
            continue
        name = relative.with_suffix("").as_posix()
        source = SourceAnnotations("image", str(file), (name,), named=False, stop=0, relative=True)
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


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _key(line: str, labels: dict[int, str], number: int) -> KeyBox:
    first, *rest = line.split()
    if not first.isdecimal() or int(first) not in labels:
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
    return KeyBox(UNTRACKED, labels[int(first)], 0, *box, line=number)


def _class_names(path: Path) -> dict[int, str]:
    """Class names by number.

    Raises:
        InputError: There are none.
    """
    names: object
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml

        try:
            names = yaml.safe_load(_text(path))["names"]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError("its 'names' cannot be read.", file=path) from error
    else:
        names = [line.strip() for line in _text(path).splitlines() if line.strip()]
    found = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(found, dict) or not found:
        raise InputError(
            "holds no class names.", file=path, hint="List them, one for each class number."
        )
    try:
        return {int(number): str(name) for number, name in found.items()}
    except (TypeError, ValueError) as error:
        raise InputError("a class number is not a whole number.", file=path) from error
