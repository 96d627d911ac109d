"""The split of images: one by one, but frames of one video as a block."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from kfdet.planning.holdout import boxes_on, choose_block, choose_units
from kfdet.planning.sides import LARGEST_GUARD_SHARE, Sides, SplitInput, units_of, whole

_SEQUENCE_SHARE = 0.5
_SEQUENCE_IMAGES = 10


def split_images(
    images: Sequence[SplitInput], labels: int, val_share: float, rng: np.random.Generator
) -> tuple[dict[str, Sides], list[str]]:
    """Clusters of duplicates on one side; frames of one video, which are all alike, as blocks.

    `labels` is how many the dataset has.
    """
    units = units_of(images)
    sequences = [
        unit
        for unit in units
        if len(unit) >= _SEQUENCE_IMAGES and len(unit) > _SEQUENCE_SHARE * len(images)
    ]
    sides: dict[str, Sides] = {}
    warnings = []
    for sequence in sequences:
        sequence.sort(key=lambda m: _natural(m.source.name))
        guard = max(1, math.ceil(LARGEST_GUARD_SHARE * len(sequence)))
        place = np.arange(len(sequence))
        block = choose_block(place, boxes_on(sequence, place), val_share, guard)
        first, last = block or (2 * len(sequence), 2 * len(sequence))
        for i, m in enumerate(sequence):
            if first <= i <= last:
                sides[m.source.name] = Sides(val=m.usable)
            elif first - guard <= i <= last + guard:
                sides[m.source.name] = Sides()
            else:
                sides[m.source.name] = Sides(train=m.usable)
        warnings.append(
            f"{len(sequence)} images, such as {sequence[0].source.name}, are so alike that they "
            "must be frames of one video: a block of them in the order of their names is kept "
            f"for evaluation, and the {guard} images on either side of it are not used."
        )
    rest = [unit for unit in units if unit not in sequences]
    val = choose_units(rest, labels, val_share, rng)
    return sides | whole(rest, np.zeros(len(rest), bool) if val is None else val), warnings


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts frame_9 before frame_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
