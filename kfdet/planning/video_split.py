"""The split of videos: whole ones change sides, or one block of each with a gap beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kfdet.errors import some
from kfdet.planning.holdout import boxes_on, choose_block, choose_units
from kfdet.planning.plan import FrameRange
from kfdet.planning.ranges import intersect
from kfdet.planning.sides import (
    LARGEST_GUARD_SHARE,
    Gaps,
    Sides,
    SplitInput,
    Strategy,
    missing_labels,
    units_of,
    whole,
)

_MOST_EXTRA_SHARE = 0.1
_LEAST_SHARE = 0.25


def split_videos(
    videos: Sequence[SplitInput],
    labels: int,
    val_share: float,
    guard_seconds: float,
    rng: np.random.Generator,
) -> tuple[Strategy, dict[str, Sides], Gaps]:
    """Whole videos for evaluation, or blocks of them: what leaves fewer labels unmeasured.

    Else whole videos, if their share is near enough to `val_share`. `labels` is how many the
    dataset has.
    """
    units = units_of(videos)
    val = choose_units(units, labels, val_share, rng)
    if val is None:
        return "time-block", *split_by_block(units, val_share, guard_seconds)
    sides = whole(units, val)
    frames = np.array([sum(len(m.frames) for m in unit) for unit in units])
    share = frames[val].sum() / frames.sum()
    balanced = _LEAST_SHARE * val_share <= share <= max(0.4, val_share + _MOST_EXTRA_SHARE)
    missing = missing_labels(videos, sides, labels)
    if balanced and missing == (0, 0):
        return "video", sides, {}
    block, gaps = split_by_block(units, val_share, guard_seconds)
    if (*missing, 0 if balanced else 2) < (*missing_labels(videos, block, labels), 1):
        return "video", sides, {}
    return "time-block", block, gaps


def split_background(
    videos: Sequence[SplitInput],
    strategy: Strategy,
    labels: int,
    val_share: float,
    guard_seconds: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Sides], Gaps]:
    """Videos without any object: as whole videos where the others are, if there are several."""
    units = units_of(videos)
    val = choose_units(units, labels, val_share, rng) if strategy == "video" else None
    if val is None:
        return split_by_block(units, val_share, guard_seconds)
    return whole(units, val), {}


def split_by_block(
    units: Sequence[Sequence[SplitInput]], val_share: float, guard_seconds: float
) -> tuple[dict[str, Sides], Gaps]:
    """One block of every video for evaluation, late blocks preferred; short videos train only."""
    sides = {}
    gaps: Gaps = {}
    for unit in units:
        # The same video twice is cut at the same place.
        frames, where = np.unique(np.concatenate([m.frames for m in unit]), return_inverse=True)
        source = unit[0].source
        wanted = guard_seconds * source.fps
        most = LARGEST_GUARD_SHARE * (frames[-1] - frames[0] + 1)
        guard = max(1, math.ceil(min(wanted, most)))
        block = choose_block(frames, boxes_on(unit, where), val_share, guard)
        if block is not None and source.fps:
            gaps[source.name] = guard / source.fps
        for m in unit:
            sides[m.source.name] = _cut(m, block, guard) if block else Sides(train=m.usable)
    return sides, gaps


def _cut(video: SplitInput, block: FrameRange, guard: int) -> Sides:
    first, last = block
    outer = ((video.source.start, first - guard - 1), (last + guard + 1, video.source.stop))
    return Sides(intersect(video.usable, outer), intersect(video.usable, [block]))


def short_gaps(gaps: Gaps, guard_seconds: float) -> list[str]:
    """The warning that gaps are shorter than asked for."""
    short = [f"{name} ({gap:.1f} s)" for name, gap in gaps.items() if gap < guard_seconds]
    if not short:
        return []
    return [
        f"the gap between training and evaluation is shorter than {guard_seconds:g} s in short "
        f"videos: {some(short)}."
    ]
