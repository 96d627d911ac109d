"""How much disk the stages of a group take, so that their pods can ask for it."""

from __future__ import annotations

from kfdet.parameters import SamplingSettings
from kfdet.planning.plan import Plan, Source
from kfdet.planning.sampling import select_frames

_PICTURE_BYTES = 0.5
"""Bytes of a stored frame for each pixel, at most: JPEGs of quality 92 of noisy 1080p take 0.3."""
_BESIDE = 1 << 30
"""Tables, logs, and what the libraries write."""


def disk_of_a_group(plan: Plan, sampling: SamplingSettings) -> int:
    """Bytes that the stages of any group take at most: its largest file, and its shards.

    Args:
        plan: The plan.
        sampling: Which frames are extracted.
    """
    sources = {source.name: source for source in plan.sources}
    groups = [[sources[name] for name in names] for names in plan.groups]
    return _BESIDE + max(
        max(each.file_bytes for each in group) + round(sum(_stored(e, sampling) for e in group))
        for group in groups
    )


def _stored(source: Source, sampling: SamplingSettings) -> float:
    frames = 1
    if source.kind == "video":
        frames = len(select_frames(source, (), sampling.frame_rate, sampling.every))
    return frames * source.width * source.height * _PICTURE_BYTES
