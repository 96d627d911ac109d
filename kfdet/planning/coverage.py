"""The frames that a person has looked at: only there does "no box" mean "no object"."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from kfdet.planning.plan import Source
from kfdet.planning.ranges import Ranges, intersect, merge

COVERED_GAP_SECONDS = 10.0
"""A person who works through a video draws or moves something this often, where there is any."""


def covered_ranges(source: Source, key_frames: Iterable[int]) -> Ranges:
    """Stretches of `source` between neighbouring key frames at most COVERED_GAP_SECONDS apart.

    Args:
        source: A video, or an image: an image with annotations is covered even if it has no boxes,
            and so is a whole video that a person annotated without any box.
        key_frames: Frames with key boxes of any track; "outside" keys count, a person set them.
    """
    if source.kind == "image":
        return ((0, 0),) if source.annotation else ()
    if source.background:
        return ((source.start, source.stop),)
    frames = sorted(set(key_frames))
    gap = max(COVERED_GAP_SECONDS * source.fps, source.step)
    pairs = pairwise(frames)
    stretches = merge([*((f, f) for f in frames), *((a, b) for a, b in pairs if b - a <= gap)])
    return intersect(stretches, [(source.start, source.stop)])


def covered_by_source(
    sources: Iterable[Source], key_frames: Mapping[str, Iterable[int]]
) -> dict[str, Ranges]:
    """`covered_ranges` of each source by its name; sources without key boxes may be absent."""
    return {s.name: covered_ranges(s, key_frames.get(s.name, ())) for s in sources}


def trusted_ranges(source: Source, covered: Ranges, margin_seconds: float) -> Ranges:
    """`covered` without a margin beside stretches of the task without annotations."""
    margin = math.ceil(margin_seconds * source.fps)
    return merge(
        (
            first if first <= source.start else first + margin,
            last if last >= source.stop else last - margin,
        )
        for first, last in covered
    )


def visible_ranges(
    source: Source, first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> Ranges:
    """Stretches of the task with at least one box.

    Args:
        source: The source.
        first: First frame of every key's span (`kfdet.boxes.interpolation.visible_spans`).
        end: First frame after every key's span.
    """
    spans = zip(first.tolist(), (end - 1).tolist(), strict=True)
    return intersect(merge(spans), [(source.start, source.stop)])
