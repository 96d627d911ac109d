"""COCO detection JSON.

Read here and not by Datumaro, which expects the file in a folder called `annotations` and gives up
at the first bad box, where `check` has to name them all; written by Datumaro.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import datumaro, values
from kfdet.dataset.formats.model import (
    AnnotatedItem,
    AnnotationSet,
    KeyBox,
    SourceAnnotations,
)
from kfdet.errors import InputError, Problem
from kfdet.files import read_json

_CROWDS = ("iscrowd", "is_crowd", "isgroupof", "is_group_of", "IsGroupOf")
"""Names under which tools write that a box is around a group."""


def read(path: Path) -> AnnotationSet:
    """Read a file: one source per image. Boxes are [x, y, width, height] in pixels from the corner.

    Crowd boxes (iscrowd, or Open Images' IsGroupOf) become regions that are not judged. JSON has no
    useful line numbers, so problems name the annotation's id.

    Raises:
        InputError: Not JSON, or without images, annotations or categories.
    """
    content = read_json(path, hint="The file may be cut off; export it again.")
    for part in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise InputError(
                f"is not COCO: it has no list of {part}.", file=path, hint="Export it again."
            )
    file = str(path)
    result = AnnotationSet()
    try:
        labels = {
            _identity(entry): values.text(entry["name"], "a name")
            for entry in (values.mapping(each, "a category") for each in content["categories"])
        }
        sources = {
            _identity(image): SourceAnnotations(
                "image",
                file,
                (values.text(image["file_name"], "a file_name"),),
                width=values.whole(image.get("width") or 0, "a width"),
                height=values.whole(image.get("height") or 0, "a height"),
                stop=0,
            )
            for image in (values.mapping(each, "an image") for each in content["images"])
        }
    except (KeyError, ValueError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"is not COCO: an image or category {what}.", file=path, hint="Export it again."
        ) from error
    result.labels = list(labels.values())
    result.sources = list(sources.values())
    for position, entry in enumerate(content["annotations"]):
        try:
            found = values.mapping(entry, "a value")
            key, image = _key(found, labels), found["image_id"]
            if not isinstance(image, str | int | float) or image not in sources:
                raise ValueError(f"is on image {repr(image)[:60]}, which the file does not have")
            sources[image].keys.append(key)
        except (KeyError, ValueError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else str(error)
            result.problems.append(
                Problem(
                    "error",
                    f"annotation {values.name_of(entry, position)} {what}; it is left out.",
                    file,
                    hint="Correct it, or export the file again.",
                )
            )
    return result


def _identity(entry: dict[str, Any]) -> str | int | float:
    given = entry["id"]
    if not isinstance(given, str | int | float):
        raise ValueError("has an id that is neither a number nor text")
    return given


def _key(entry: dict[str, Any], labels: dict[Any, str]) -> KeyBox:
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("has a bbox that is not [x, y, width, height]")
    try:
        x, y, width, height = (values.number(side, "a side") for side in box)
    except ValueError:
        raise ValueError("has a bbox that is not four numbers") from None
    category = entry["category_id"]
    if not isinstance(category, str | int | float) or category not in labels:
        raise ValueError(f"has category {repr(category)[:60]}, which the file does not have")
    more = values.mapping(entry.get("attributes") or {}, "attributes")
    return KeyBox(
        UNTRACKED,
        labels[category],
        0,
        x,
        y,
        x + width,
        y + height,
        values.number(more.get("rotation") or 0.0, "a rotation"),
        occluded=bool(more.get("occluded")),
        difficult=bool(more.get("difficult")),
        crowd=any(bool(place.get(name)) for place in (entry, more) for name in _CROWDS),
    )


def write(entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write annotations/instances_default.json, or `target` if that is a file."""
    datumaro.export(entries, labels, target, "coco_instances", _mark_crowds)


def _mark_crowds(file: Path) -> None:
    """Set `iscrowd`, which Datumaro sets only for masks."""
    content = json.loads(file.read_text(encoding="utf-8"))
    marked = [a for a in content["annotations"] if a.get("attributes", {}).pop(datumaro.CROWD, 0)]
    if marked:
        for entry in marked:
            entry["iscrowd"] = 1
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
