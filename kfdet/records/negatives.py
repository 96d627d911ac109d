"""Background for training: frames and crops that show no object, and that a person has looked at.

A wrong one teaches the detector to ignore an object, so they keep away from every box, occluded or
not, in space and in time, and from stretches without annotations. How many a source gives is
decided in planning (`kfdet.planning.background`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kfdet.boxes.tables import Boxes
from kfdet.planning.background import SPACING_SECONDS, beside, candidates, margin_frames
from kfdet.planning.plan import Source

NEGATIVE_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("kind", pa.string()),  # "frame" or "crop"
        ("xmin", pa.float64()),  # the window in whole source pixels; of a "frame" all of it
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
    ]
)

MARGIN_SHARE = 0.02
"""Distance of crops from boxes, as a share of the frame's longer side ..."""
MARGIN_OF_BOX = 0.1
"""... plus this share of the box's own size."""
CROP_SIZE = (0.3, 0.8)
"""Smallest and largest crop, as a share of the frame's sides."""
_WINDOWS = 128

Integers = npt.NDArray[np.int64]
Negative = tuple[str, int, str, float, float, float, float]
"""A row of NEGATIVE_SCHEMA."""


def mine(
    source: Source,
    key_frames: Integers,
    frames: Integers,
    box_frames: Integers,
    boxes: Boxes,
    seed: int,
) -> list[Negative]:
    """Choose the background that the plan wants of a source, by frame.

    Args:
        source: The source; only its training ranges are mined.
        key_frames: Frames with key boxes of any track.
        frames: The frames that the run uses, rising.
        box_frames: (N,) frame of every box, rising.
        boxes: (N, 4) the boxes, in pixels of the source.
        seed: Seed of every choice.

    Returns:
        At most as many as are wanted; fewer where there is no room.
    """
    if not source.negative_frames and not source.negative_crops:
        return []
    # of its own, so that it does not matter what other sources there are
    rng = np.random.default_rng([seed, zlib.crc32(source.name.encode())])
    margin = margin_frames(source)
    busy = beside(frames, box_frames, box_frames + 1, margin)
    whole, beside_boxes = candidates(source, key_frames.tolist(), frames, busy)
    size = float(source.width), float(source.height)
    chosen: list[Negative] = [
        (source.name, frame, "frame", 0.0, 0.0, *size)
        for frame in _far_apart(whole, rng)[: source.negative_frames]
    ]
    taken = np.array([row[1] for row in chosen], np.int64)
    spacing = SPACING_SECONDS * source.fps
    left = source.negative_crops
    for frame in _far_apart(beside_boxes, rng):
        if not left:
            break
        if (abs(taken - frame) < spacing).any():
            continue
        first, last = np.searchsorted(box_frames, (frame - margin, frame + margin + 1))
        window = free_window(source, boxes[first:last], rng)
        if window is not None:
            chosen.append((source.name, frame, "crop", *window))
            left -= 1
    return sorted(chosen)


def negative_table(rows: Sequence[Negative]) -> pa.Table:
    """NEGATIVE_SCHEMA of rows."""
    columns = list(zip(*rows, strict=True)) or [()] * len(NEGATIVE_SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, NEGATIVE_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=NEGATIVE_SCHEMA)


def _far_apart(frames: Sequence[int], rng: np.random.Generator) -> list[int]:
    """The frames in van der Corput's order from a random start: the first few are far apart."""
    return [frames[i] for i in _order(len(frames), int(rng.integers(max(1, len(frames)))))]


def _order(count: int, start: int) -> Iterator[int]:
    bits = max(count - 1, 1).bit_length()
    for i in range(1 << bits):
        turned = int(f"{i:0{bits}b}"[::-1], 2)
        if turned < count:
            yield (turned + start) % count


def free_window(
    source: Source, boxes: Boxes, rng: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """A random window in the frame's aspect ratio, away from all `boxes`; larger ones are likelier.

    Returns:
        xmin, ymin, xmax, ymax in whole pixels of the source; None where no window is free.
    """
    size = np.array([source.width, source.height], np.float64)
    extent = np.maximum(np.round(rng.uniform(*CROP_SIZE, (_WINDOWS, 1)) * size), 1)
    low = np.floor(rng.uniform(size=(_WINDOWS, 2)) * (size - extent + 1))
    high = low + extent
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0)
    margin = MARGIN_SHARE * size.max() + MARGIN_OF_BOX * longest
    touches = (low[:, None] < (boxes[:, 2:] + margin)) & (high[:, None] > (boxes[:, :2] - margin))
    free = np.flatnonzero(~touches.all(axis=2).any(axis=1))
    if not len(free):
        return None
    area = extent[free].prod(axis=1)
    best = rng.choice(free, p=area / area.sum())
    xmin, ymin = low[best].tolist()
    xmax, ymax = high[best].tolist()
    return xmin, ymin, xmax, ymax
