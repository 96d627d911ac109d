"""Pictures in formats for images: images, and frames of videos under names of their own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from kfdet.dataset.formats.model import AnnotatedItem, Item

BoxRow = dict[str, Any]
"""One row of BOX_SCHEMA."""

LAYOUT_FOLDERS = frozenset(("annotations", "images", "jpegimages", "labels", "videos", "xmls"))
"""Folders whose name only states the kind of the files in them."""

_FRAME = re.compile(r"(?:(.*)/)?frame_(\d{6,})(?:\.\w+)?")


def frame_name(name: str) -> tuple[str, int] | None:
    """Video ("" where not stated) and frame that an image name such as `clip/frame_000012` means.

    Exports of video tasks in formats for images use such names, ours and CVAT's.
    """
    found = _FRAME.fullmatch(name.replace("\\", "/"))
    return (found[1] or "", int(found[2])) if found else None


def picture_name(item: Item, frame: int) -> str:
    """Path, below the folder of images, under which formats for images know a frame of `item`."""
    path = PurePosixPath(item.name)
    if path.parts[0].lower() in LAYOUT_FOLDERS and len(path.parts) > 1:
        path = path.relative_to(path.parts[0])
    if item.kind == "image":
        return path.as_posix()
    return f"{path.with_suffix('').as_posix()}/frame_{frame:06d}.jpg"


def frames_with_boxes(entry: AnnotatedItem) -> Iterator[tuple[int, list[BoxRow]]]:
    """The pictures of an entry with their boxes: its image, or the frames of a video with boxes.

    Frames without boxes are left out: they may show objects that nobody has labelled.
    """
    found: defaultdict[int, list[BoxRow]] = defaultdict(list)
    if entry.item.kind == "image":
        found[0] = []
    for box in entry.boxes.to_pylist():
        found[box["frame"]].append(box)
    yield from sorted(found.items())
