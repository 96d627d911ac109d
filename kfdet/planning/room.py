"""How much disk the stages of a group take, so that their pods can ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kfdet.parameters import SamplingSettings
from kfdet.planning.plan import Plan, Source
from kfdet.planning.sampling import select_frames

_PICTURE_BYTES = 0.5
"""Bytes of a stored frame for each pixel, at most: JPEGs of quality 92 of noisy 1080p take 0.3."""
_BESIDE = 1 << 30
"""Tables, logs, and what the libraries write."""


def disk_of_a_group(
    plan: Plan, sampling: SamplingSettings, key_frames: Mapping[str, Iterable[int]]
) -> int:
    """Bytes that the stages of any group take at most: its largest file, and its shards.

    Args:
        plan: The plan.
        sampling: Which frames are extracted.
        key_frames: Frames with key boxes by video, which are extracted as well; videos without them
            may be absent.
    """
    sources = {source.name: source for source in plan.sources}
    groups = [[sources[name] for name in names] for names in plan.groups]

    def stored(source: Source) -> float:
        frames = 1
        if source.kind == "video":
            keys = key_frames.get(source.name, ())
            frames = len(select_frames(source, keys, sampling.frame_rate, sampling.every))
        pictures = frames + source.negative_crops
        return pictures * source.width * source.height * _PICTURE_BYTES

    return _BESIDE + max(
        max(each.file_bytes for each in group) + round(sum(map(stored, group))) for group in groups
    )
