"""Where background may be shown to training, and how much of it every source gives.

Every frame with boxes already trains thousands of background anchors, so what counts is *other*
background: whole frames first, crops where there are too few, spread over time and over the
sources. It is dealt here, before any group of sources is worked on, so that the groups need not
know of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kfdet.planning.coverage import covered_ranges, trusted_ranges
from kfdet.planning.plan import Source
from kfdet.planning.ranges import contains, intersect

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MARGIN_SECONDS = 0.5
"""Distance in time from boxes and from stretches without annotations: an object is partly in sight
before its first key and after its last."""
SPACING_SECONDS = 1.0
"""Background of one video is at least this far apart: neighbours show the same."""


def margin_frames(source: Source) -> int:
    """Frames to keep away from boxes."""
    if source.kind == "image":
        return 0
    return max(source.step, math.ceil(MARGIN_SECONDS * source.fps))


def beside(frames: Integers, first: Integers, end: Integers, margin: int) -> Flags:
    """Which of the rising `frames` are at most `margin` away from spans `first` to `end` - 1."""
    real = end > first
    change = np.zeros(len(frames) + 1, np.int64)
    np.add.at(change, np.searchsorted(frames, first[real] - margin), 1)
    np.add.at(change, np.searchsorted(frames, end[real] - 1 + margin, side="right"), -1)
    flags: Flags = np.cumsum(change[:-1]) > 0
    return flags


def candidates(
    source: Source, key_frames: Iterable[int], frames: Integers, busy: Flags
) -> tuple[list[int], list[int]]:
    """Training frames that are background as a whole, and others that may have room for a crop.

    Args:
        source: The source; only its training ranges count.
        key_frames: Frames with key boxes of any track.
        frames: The frames that the run uses, rising.
        busy: Which of them are beside a box.

    Returns:
        Rising frames, SPACING_SECONDS apart.
    """
    covered = covered_ranges(source, key_frames)
    trusted = trusted_ranges(source, covered, MARGIN_SECONDS)
    usable = contains(intersect(source.train, trusted), frames)
    return _spaced(source, frames[usable & ~busy]), _spaced(source, frames[usable & busy])


def _spaced(source: Source, frames: Integers) -> list[int]:
    spacing = SPACING_SECONDS * source.fps
    spaced: list[int] = []
    for frame in frames.tolist():
        if not spaced or frame - spaced[-1] >= spacing:
            spaced.append(frame)
    return spaced


def deal_background(
    whole: Integers, busy: Integers, wanted: int, seed: int
) -> tuple[Integers, Integers]:
    """How many whole frames and how many crops of every source train.

    One source gives at most twice its even part.

    Args:
        whole: (S,) frames that are background as a whole.
        busy: (S,) frames that may have room for a crop.
        wanted: How many there should be together.
        seed: Seed of who gives one more.
    """
    giving = int(((whole > 0) | (busy > 0)).sum())
    if not wanted or not giving:
        return np.zeros_like(whole), np.zeros_like(busy)
    most = math.ceil(2 * wanted / giving)
    turns = np.random.default_rng(seed).permutation(len(whole))
    frames = _deal(np.minimum(whole, most), wanted, turns)
    crops = _deal(np.minimum(busy, most - frames), wanted - int(frames.sum()), turns)
    return frames, crops


def _deal(available: Integers, wanted: int, turns: Integers) -> Integers:
    """Take one of each source in turn until `wanted` are taken or nothing is left."""
    if available.sum() <= wanted:
        return available
    rounds = 0  # the whole ones; a last one stops in the middle
    for bit in reversed(range(int(available.max()).bit_length())):
        if np.minimum(available, rounds + (1 << bit)).sum() <= wanted:
            rounds += 1 << bit
    dealt = np.minimum(available, rounds)
    left = turns[available[turns] > rounds][: wanted - int(dealt.sum())]
    dealt[left] += 1
    return dealt
