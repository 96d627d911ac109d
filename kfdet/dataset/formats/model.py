"""What annotation readers return and writers take: key boxes of sources, items and their boxes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from kfdet.boxes.rotation import turn_about_centre
from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.errors import Problem

REFERENCE_COLUMNS = 7

Side = Literal["", "train", "val", "test"]
"""The side of the split that a dataset itself puts an item on; "" where it does not say."""

NamedSide = Literal["train", "val", "test"]

SIDE_NAMES: Mapping[str, NamedSide] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What tools call the sides, in lower case."""


class KeyBox(NamedTuple):
    """One box that a person drew: the columns of KEY_SCHEMA except `video`, as annotated.

    `difficult` and `crowd` are explained in `kfdet.boxes.tables`.
    """

    track_id: int
    label: str
    frame: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    rotation: float = 0.0
    outside: bool = False
    occluded: bool = False
    line: int = 0
    difficult: bool = False
    crowd: bool = False


@dataclass(slots=True)
class SourceAnnotations:
    """The annotations of one video or image in one annotation file.

    Args:
        kind: What the boxes belong to.
        file: The annotation file, as the user named it.
        names: Names under which the source may be found, the most trusted first.
        names_media_file: The first of `names` is the media's file name, not that of a task or of
            the XML.
        keys: The boxes in the file's order, source frames, pixels.
        width: Width in pixels that the file states, 0 where it does not.
        height: Height in pixels that the file states, 0 where it does not.
        start: First frame of the annotation task.
        stop: Its last frame, inclusive; None where the file does not say.
        step: Distance between task frames in source frames.
        reviewed: A person has gone through the whole task, so that a video without a single box
            shows no object. False where the file lists only some frames, or where shapes other
            than boxes were left out.
        relative: Boxes are shares of width and height (0..1) instead of pixels.
        corner: Boxes are turned about their left upper corner instead of their centre.
        side: The side of the split that the file puts it on.
        reference_boxes: Rows of REFERENCE_COLUMNS numbers (track, frame, xmin, ymin, xmax, ymax,
            line): boxes that the annotation tool itself interpolated, upright envelopes of
            rotated ones.
    """

    kind: Literal["video", "image"]
    file: str
    names: tuple[str, ...]
    names_media_file: bool = True
    keys: list[KeyBox] = field(default_factory=list)
    width: int = 0
    height: int = 0
    start: int = 0
    stop: int | None = None
    step: int = 1
    reviewed: bool = False
    relative: bool = False
    corner: bool = False
    side: Side = ""
    reference_boxes: array[float] = field(default_factory=lambda: array("d"))

    def to_pixels(self, width: int, height: int) -> None:
        """Turn boxes that are shares of an image of this size into pixels, about their centre."""
        if self.relative:
            self.keys = [_in_pixels(key, width, height, self.corner) for key in self.keys]
            self.relative = self.corner = False


def _in_pixels(key: KeyBox, width: int, height: int, corner: bool) -> KeyBox:
    xmin, ymin, xmax, ymax = turn_about_centre(
        key.xmin * width,
        key.ymin * height,
        key.xmax * width,
        key.ymax * height,
        key.rotation if corner else 0.0,
    )
    return key._replace(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


@dataclass(slots=True)
class Item:
    """One video or image of a dataset, with its annotations.

    Args:
        name: Path relative to the dataset, forward slashes; unique.
        path: The file.
        kind: What it is.
        width: Displayed width in pixels: after a video's rotation and an image's EXIF orientation.
        height: Displayed height in pixels.
        frames: Frames in the file (1 for an image).
        fps: Frames per second (0 for an image).
        annotation: Path of the annotation file relative to the dataset, "" where there is none:
            such an item is unlabelled, which does not mean that it shows no object.
        start: First frame of the annotation task.
        stop: Last frame, inclusive, on the task's grid and within the file.
        step: Distance between task frames in source frames.
        keys: Usable key boxes as annotated: not clipped to the frame.
        background: A video that a person annotated without any box: it shows no object.
        orientation: EXIF orientation of an image (1 = stored upright). Decoders that ignore EXIF
            must turn the picture before boxes fit.
        side: The side that the dataset puts it on.
    """

    name: str
    path: Path
    kind: Literal["video", "image"]
    width: int
    height: int
    frames: int
    fps: float
    annotation: str = ""
    start: int = 0
    stop: int = 0
    step: int = 1
    keys: list[KeyBox] = field(default_factory=list)
    background: bool = False
    orientation: int = 1
    side: Side = ""


@dataclass(frozen=True, slots=True)
class AnnotatedItem:
    """The input of a writer: an item and its boxes (BOX_SCHEMA, sorted by frame and track).

    Writers of tracks get the boxes of every frame and pick the key frames themselves.
    """

    item: Item
    boxes: pa.Table


@dataclass(slots=True)
class AnnotationSet:
    """Everything that was read from one annotation file or folder.

    Args:
        sources: One entry per video or image.
        labels: Names that the annotation tool offered, used or not.
        problems: What was wrong with the file itself.
    """

    sources: list[SourceAnnotations] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def key_table(keys: Iterable[tuple[str, Iterable[KeyBox]]]) -> pa.Table:
    """Key boxes of (source name, boxes) pairs as a table in KEY_SCHEMA, in the order given."""
    names: list[str] = []
    boxes: list[KeyBox] = []
    for name, own in keys:
        boxes += own
        names += [name] * (len(boxes) - len(names))

    def column(name: str, kind: pa.DataType) -> pa.Array:
        values = names if name == "video" else map(attrgetter(name), boxes)
        if pa.types.is_string(kind):
            return pa.array(values, kind)
        # As a list of numbers they would take several times the memory.
        return pa.array(np.fromiter(values, kind.to_pandas_dtype(), len(boxes)))

    return pa.table([column(each.name, each.type) for each in KEY_SCHEMA], schema=KEY_SCHEMA)
