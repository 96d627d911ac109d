"""The groups of sources that a run works on side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from kfdet.planning.plan import Source

MOST_GROUPS = 64
"""Kubeflow hands the results of all groups to the next stage in one argument, of 128 KiB at most:
room for about 80."""

_QUICK_PIXELS = 600_000_000
"""Decoding work worth a group of its own, a few seconds, while there are few of them: about 300
frames of 1080p."""
_FEW_GROUPS = 8
_LONG_PIXELS = 100_000_000_000
"""Decoding work worth one more group where there are many: some 48,000 frames of 1080p, which take
a core about six minutes. To start its pod takes up to one."""


def make_groups(sources: Sequence[Source], most: int = MOST_GROUPS) -> tuple[tuple[str, ...], ...]:
    """Cut sources, in the order of their names, into groups of about equal work.

    Args:
        sources: Sources of which frames are used.
        most: Of groups.

    Returns:
        The names of the sources of each group: 8 groups at most for little work, and above that one
        for every 100 billion pixels that are decoded.
    """
    ordered = sorted(sources, key=lambda s: s.name)
    work = np.array([s.width * s.height * _decoded(s) for s in ordered], np.float64)
    total = work.sum()
    wanted = max(
        min(math.ceil(total / _QUICK_PIXELS), _FEW_GROUPS), math.ceil(total / _LONG_PIXELS)
    )
    groups = int(np.clip(wanted, 1, min(most, len(ordered))))
    middle = np.cumsum(work) - work / 2
    place = np.minimum(middle / total * groups, groups - 1).astype(int).tolist()
    placed = groupby(zip(place, ordered, strict=True), key=lambda pair: pair[0])
    return tuple(tuple(source.name for _, source in group) for _, group in placed)


def _decoded(source: Source) -> int:
    """Frames from the first to the last one that is used."""
    return max(last for _, last in source.used) - min(first for first, _ in source.used) + 1
