"""Background for training: frames and crops that show no object, and that a person has looked at.

Every frame with boxes already trains thousands of background anchors, so what counts is *other*
background: whole frames first, crops where there are too few, spread over time and over the
sources. A wrong one teaches the detector to ignore an object, so they keep away from every box,
occluded or not, in space and in time (an object is partly in sight before its first key and after
its last), and from stretches without annotations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kfdet.boxes.tables import Boxes
from kfdet.errors import InputError
from kfdet.planning.coverage import covered_ranges, trusted_ranges
from kfdet.planning.plan import Source
from kfdet.planning.ranges import contains, intersect

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

MARGIN_SECONDS = 0.5
"""Distance in time from boxes and from stretches without annotations."""
MARGIN_SHARE = 0.02
"""Distance of crops from boxes, as a share of the frame's longer side ..."""
MARGIN_OF_BOX = 0.1
"""... plus this share of the box's own size."""
SPACING_SECONDS = 1.0
"""Negatives of one video are at least this far apart: neighbours show the same background."""
CROP_SIZE = (0.3, 0.8)
"""Smallest and largest crop, as a share of the frame's sides."""
_WINDOWS = 128

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SourceFrames:
    """What is known of one source.

    Args:
        source: The source; only its training ranges are mined.
        key_frames: Frames with key boxes of any track.
        frames: Extracted frames, rising.
        box_frames: (N,) frame of every box, rising.
        boxes: (N, 4) the boxes, in pixels of the source.
        crowd: (N,) whether a box is not an object but a region that may hold some.
    """

    source: Source
    key_frames: Integers
    frames: Integers
    box_frames: Integers
    boxes: Boxes
    crowd: npt.NDArray[np.bool_]

    def near(self, frame: int, margin: int) -> Boxes:
        """Boxes of the frames at most `margin` away."""
        first, last = np.searchsorted(self.box_frames, (frame - margin, frame + margin + 1))
        return self.boxes[first:last]


Negative = tuple[str, int, str, float, float, float, float]
"""A row of NEGATIVE_SCHEMA."""


def mine(sources: Sequence[SourceFrames], share: float, seed: int) -> pa.Table:
    """Choose background frames and crops (NEGATIVE_SCHEMA, sorted by video and frame).

    Args:
        sources: The sources; those without training ranges are passed over.
        share: Wanted share of background among the training examples; fewer are chosen where there
            is too little background. One source gives at most twice its even part.
        seed: Seed of every choice.

    Raises:
        InputError: `share` is not in 0 <= share < 1.
    """
    if not 0 <= share < 1:
        raise InputError(f"a negative share of {share} is not between 0 and 1.")
    sources = sorted(sources, key=lambda mined: mined.source.name)
    wanted = round(sum(map(_positives, sources)) * share / (1 - share))
    rng = np.random.default_rng(seed)
    candidates = [(mined, *_candidates(mined)) for mined in sources]
    candidates = [c for c in candidates if len(c[1]) or len(c[2])]
    if not wanted or not candidates:
        return NEGATIVE_SCHEMA.empty_table()
    most = math.ceil(2 * wanted / len(candidates))
    chosen: list[list[Negative]] = [[] for _ in candidates]
    frames = [_frames(mined, empty, rng) for mined, empty, _ in candidates]
    wanted -= _deal(frames, chosen, wanted, most, rng)
    crops = [
        _crops(mined, busy, taken, rng)
        for (mined, _, busy), taken in zip(candidates, chosen, strict=True)
    ]
    _deal(crops, chosen, wanted, most, rng)
    rows = sorted(row for rows in chosen for row in rows)
    columns = zip(*rows, strict=True) if rows else [()] * len(NEGATIVE_SCHEMA)
    return pa.table([*map(list, columns)], schema=NEGATIVE_SCHEMA)


def _positives(mined: SourceFrames) -> int:
    """Extracted training frames with an object."""
    train = mined.frames[contains(mined.source.train, mined.frames)]
    return int(np.isin(train, mined.box_frames[~mined.crowd]).sum())


def _margin(source: Source) -> int:
    """Frames to keep away from boxes."""
    if source.kind == "image":
        return 0
    return max(source.step, math.ceil(MARGIN_SECONDS * source.fps))


def _candidates(mined: SourceFrames) -> tuple[Integers, Integers]:
    """Frames that are background as a whole, and others that may have room for a crop."""
    source = mined.source
    covered = covered_ranges(source, mined.key_frames.tolist())
    trusted = trusted_ranges(source, covered, MARGIN_SECONDS)
    frames = mined.frames[contains(intersect(source.train, trusted), mined.frames)]
    margin = _margin(source)
    first = np.searchsorted(mined.box_frames, frames - margin)
    last = np.searchsorted(mined.box_frames, frames + margin, side="right")
    return frames[first == last], frames[first < last]


def _deal(
    queues: Sequence[Iterator[Negative]],
    chosen: Sequence[list[Negative]],
    wanted: int,
    most: int,
    rng: np.random.Generator,
) -> int:
    """Take turns until `wanted` are added to `chosen` or nothing is left; how many were added."""
    added = 0
    turns = [int(i) for i in rng.permutation(len(queues))]
    while turns and added < wanted:
        open_turns = []
        for i in turns:
            if added == wanted or len(chosen[i]) >= most:
                continue
            negative = next(queues[i], None)
            if negative is not None:
                chosen[i].append(negative)
                added += 1
                open_turns.append(i)
        turns = open_turns
    return added


def _spread(mined: SourceFrames, frames: Integers, rng: np.random.Generator) -> list[int]:
    """Frames SPACING_SECONDS apart, ordered so that the first few of them are far apart."""
    spacing = SPACING_SECONDS * mined.source.fps
    spaced: list[int] = []
    for frame in frames.tolist():
        if not spaced or frame - spaced[-1] >= spacing:
            spaced.append(frame)
    # Positions in van der Corput's order, from a random start.
    bits = max(len(spaced) - 1, 1).bit_length()
    order = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)]
    start = int(rng.integers(len(spaced))) if spaced else 0
    return [spaced[(i + start) % len(spaced)] for i in order if i < len(spaced)]


def _frames(mined: SourceFrames, frames: Integers, rng: np.random.Generator) -> Iterator[Negative]:
    source = mined.source
    for frame in _spread(mined, frames, rng):
        yield source.name, frame, "frame", 0.0, 0.0, float(source.width), float(source.height)


def _crops(
    mined: SourceFrames, frames: Integers, taken: Sequence[Negative], rng: np.random.Generator
) -> Iterator[Negative]:
    """Crops of frames that are not beside the ones in `taken`."""
    spacing = SPACING_SECONDS * mined.source.fps
    whole = np.array([row[1] for row in taken], np.int64)
    far = [frame for frame in _spread(mined, frames, rng) if (abs(whole - frame) >= spacing).all()]
    for frame in far:
        window = free_window(mined.source, mined.near(frame, _margin(mined.source)), rng)
        if window is not None:
            yield mined.source.name, frame, "crop", *window


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
