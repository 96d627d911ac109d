"""The two box tables that all stages share: key boxes (drawn by a person) and boxes (every frame).

Coordinates are absolute float pixels of the source frame, right and bottom exclusive; frames are
0-based indices of the source video (0 for an image). `video` is the source's path relative to the
dataset, for videos and images alike. `track_id` is UNTRACKED for a box that belongs to no track.

A `crowd` box is not an object but a region that may hold any number of objects of its label, or
with NO_LABEL of every label: neither training nor evaluation judges what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.errors import InputError
from kfdet.files import REMAKE

KEY_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("track_id", pa.int64()),
        ("label", pa.string()),
        ("frame", pa.int64()),
        ("xmin", pa.float64()),
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
        ("rotation", pa.float64()),  # degrees clockwise around the centre, as CVAT writes it
        ("outside", pa.bool_()),
        ("occluded", pa.bool_()),
        ("line", pa.int64()),  # 1-based line of the annotation file, 0 when unknown
        ("difficult", pa.bool_()),  # trains, but is not scored
        ("crowd", pa.bool_()),  # a region, see below
    ]
)

UNTRACKED = -1
"""`track_id` of a box that belongs to no track."""

NO_LABEL = ""
"""`label` of a crowd box that stands for every label."""

BOX_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("track_id", pa.int64()),
        ("label", pa.string()),
        ("xmin", pa.float64()),
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
        ("occluded", pa.bool_()),
        ("keyframe", pa.bool_()),
        # "key", "linear", "cubic", "tracked" (in the video) or "propagated" (after the last key)
        ("method", pa.string()),
        ("difficult", pa.bool_()),
        ("crowd", pa.bool_()),
    ]
)

BOX_ORDER = [(name, "ascending") for name in ("video", "frame", "track_id", "label", "xmin")]
"""Sort keys of a box table: one order, whatever groups the boxes came from."""

Boxes = npt.NDArray[np.float64]
"""Shape (N, 4): xmin, ymin, xmax, ymax."""

SIDES = ("xmin", "ymin", "xmax", "ymax")
"""The columns of a box, in the order in which arrays have them."""


def corners(table: pa.Table, prefix: str = "") -> Boxes:
    """The boxes of the columns SIDES, whose names may start with a prefix."""
    return np.stack([table[f"{prefix}{side}"].to_numpy() for side in SIDES], axis=1)


def read_table(
    path: Path, schema: pa.Schema, columns: Sequence[str] | None = None, filters: Any = None
) -> pa.Table:
    """The rows of a table that a stage wrote; no value is missing, and numbers are finite.

    Args:
        path: The parquet file.
        schema: What it holds.
        columns: Which of that to read; None: all.
        filters: Which rows, as pyarrow takes them.

    Raises:
        InputError: It cannot be read, or holds something else.
    """
    wanted = pa.schema([schema.field(name) for name in columns]) if columns else schema
    if not path.is_file():  # to open a pipe waits for its other end
        raise InputError("cannot be read: there is no such file.", file=path, hint=REMAKE)
    try:
        found = pq.read_schema(path).names
        missing = [name for name in wanted.names if name not in found]
        if missing:
            raise InputError(f"has no column {missing[0]}.", file=path, hint=REMAKE)
        table = pq.read_table(path, columns=wanted.names, filters=filters).cast(wanted)
        table.validate(full=True)  # that text is text, for one
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"cannot be read: {reason}.", file=path, hint=REMAKE) from error
    for field in wanted:
        column = table[field.name]
        if column.null_count:
            raise InputError(f"{field.name} has no value in some rows.", file=path, hint=REMAKE)
        if pa.types.is_floating(field.type) and pc.any(pc.invert(pc.is_finite(column))).as_py():
            raise InputError(f"{field.name} is not a number in some rows.", file=path, hint=REMAKE)
    return table


def rows_by_video(table: pa.Table) -> dict[str, slice]:
    """The rows of each video of a table that is sorted by its column `video`."""
    videos = table["video"].combine_chunks().dictionary_encode()
    codes = videos.indices.to_numpy()
    starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)).tolist()
    names = videos.dictionary.to_pylist()
    return {names[codes[first]]: slice(first, stop) for first, stop in pairwise(starts)}


def iou_matrix(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4): (N, M)."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0, None), axis=1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1)
    union = area_a[:, None] + area_b[None, :] - overlap
    iou: npt.NDArray[np.float64] = np.zeros_like(overlap)
    np.divide(overlap, union, out=iou, where=union > 0)
    return iou


def iou_pairs(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes with their counterparts: (..., 4) and (..., 4) to (...)."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    overlap = np.clip(sides, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    iou: npt.NDArray[np.float64] = overlap / np.maximum(areas - overlap, 1e-9)
    return iou
