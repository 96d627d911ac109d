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
from kfdet.dataset.formats import datumaro
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

    Crowd boxes (iscrowd, or Open Images' IsGroupOf) become regions that nobody judges. JSON has no
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
        labels = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        sources = {
            image["id"]: SourceAnnotations(
                "image",
                file,
                (str(image["file_name"]),),
                width=int(image.get("width") or 0),
                height=int(image.get("height") or 0),
                stop=0,
            )
            for image in content["images"]
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"is not COCO: an image or category lacks {error}.", file=path, hint="Export it again."
        ) from error
    result.labels = list(labels.values())
    result.sources = list(sources.values())
    for entry in content["annotations"]:
        try:
            key, image = _key(entry, labels), entry["image_id"]
            if image not in sources:
                raise ValueError(f"is on image {image!r}, which the file does not have")
            sources[image].keys.append(key)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            text = f"has no {error}" if isinstance(error, KeyError) else str(error)
            number = entry.get("id") if isinstance(entry, dict) else entry
            result.problems.append(
                Problem(
                    "error",
                    f"annotation {number!r} {text}; it is left out.",
                    file,
                    hint="Correct it, or export the file again.",
                )
            )
    return result


def _key(entry: dict[str, Any], labels: dict[Any, str]) -> KeyBox:
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("has a bbox that is not [x, y, width, height]")
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("has a bbox that is not four numbers") from None
    if entry["category_id"] not in labels:
        raise ValueError(f"has category {entry['category_id']!r}, which the file does not have")
    more = entry.get("attributes") or {}
    return KeyBox(
        UNTRACKED,
        labels[entry["category_id"]],
        0,
        x,
        y,
        x + width,
        y + height,
        float(more.get("rotation") or 0.0),
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
