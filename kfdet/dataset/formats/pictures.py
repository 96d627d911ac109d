"""Pictures in formats for images: images, and frames of videos under names of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any

from kfdet.dataset.formats.border import is_text
from kfdet.dataset.formats.limits import MAX_NAME_BYTES, MAX_PATH_BYTES
from kfdet.dataset.formats.model import AnnotatedItem, Item
from kfdet.errors import InputError

BoxRow = dict[str, Any]
"""One row of BOX_SCHEMA."""

LAYOUT_FOLDERS = frozenset(("annotations", "images", "jpegimages", "labels", "videos", "xmls"))
"""Folders whose name only states the kind of the files in them."""

_DRIVE = re.compile(r"\A[A-Za-z]:/")
_ROWS = 10_000
_SHOWN = 60
"""Characters of a name in a message."""
_FRAME = re.compile(r"(?:(.*)/)?frame_(\d{6,18})(?:\.\w+)?")


def frame_name(name: str) -> tuple[str, int] | None:
    """Video ("" where not stated) and frame that an image name such as `clip/frame_000012` means.

    Exports of video tasks in formats for images use such names, ours and CVAT's.
    """
    found = _FRAME.fullmatch(name.replace("\\", "/"))
    return (found[1] or "", int(found[2])) if found else None


def safe_path(name: str, file: str) -> PurePosixPath:
    """The path that `name` means below a folder of pictures: it cannot lead out of that folder.

    Annotations name pictures by absolute paths, by paths of Windows, and relative to folders that
    are gone: roots, drives and steps up are dropped, as they are where a picture is looked for.

    Args:
        name: What an annotation file calls a picture or video.
        file: That annotation file.

    Raises:
        InputError: Nothing is left, or no file can have this name.
    """
    parts = _DRIVE.sub("", name.replace("\\", "/")).split("/")
    # Windows ignores spaces and dots at the end: "... " is a step up, too.
    path = PurePosixPath(*(part for part in parts if part.rstrip(" .")))
    if not path.stem.rstrip(" ."):  # `...jpg` without its suffix is a step up
        problem = "names no file"
    elif not is_text(str(path), MAX_PATH_BYTES) or not all(
        is_text(part, MAX_NAME_BYTES) for part in path.parts
    ):
        problem = (
            f"cannot be the name of a file: it has control characters, more than "
            f"{MAX_PATH_BYTES} bytes, or a part of more than {MAX_NAME_BYTES}"
        )
    else:
        return path
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    raise InputError(f"{shown!r} {problem}.", file=file, hint="Correct the name.")


def picture_name(item: Item, frame: int) -> str:
    """Path, below the folder of images, under which formats for images know a frame of `item`.

    Raises:
        InputError: As `safe_path`.
    """
    path = safe_path(item.name, item.annotation)
    if path.parts[0].lower() in LAYOUT_FOLDERS and len(path.parts) > 1:
        path = path.relative_to(path.parts[0])
    if item.kind == "image":
        return path.as_posix()
    return f"{path.with_suffix('').as_posix()}/frame_{frame:06d}.jpg"


def frames_with_boxes(entry: AnnotatedItem) -> Iterator[tuple[int, list[BoxRow]]]:
    """The pictures of an entry with their boxes: its image, or the frames of a video with boxes.

    Frames without boxes are left out: they may show objects without a label.
    """
    # Some at a time: a row is a hundred times as large as in the table.
    batches = entry.boxes.to_batches(max_chunksize=_ROWS)
    rows: Iterator[BoxRow] = chain.from_iterable(batch.to_pylist() for batch in batches)
    if entry.item.kind == "image":
        yield 0, list(rows)
        return
    for frame, boxes in groupby(rows, itemgetter("frame")):
        yield frame, list(boxes)
