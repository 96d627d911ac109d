"""The split into frames that train and frames that only evaluate, without leaks between them.

Neighbouring frames of a video are nearly the same picture, so frames are never assigned one by
one: whole videos change sides, or, where there are too few videos, one block of each video with a
gap beside it. Duplicates stay on one side. The strategy is chosen by what it can measure: every
label on both sides comes first, then unseen videos before unseen stretches of seen ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kfdet.dataset.formats.model import Side
from kfdet.errors import some
from kfdet.planning.image_split import split_images
from kfdet.planning.plan import Split
from kfdet.planning.sides import SIDE_TITLES, Sides, SplitInput, Strategy, units_of, whole
from kfdet.planning.split_checks import empty_side, judge, judge_test
from kfdet.planning.video_split import short_gaps, split_background, split_videos

_PRECEDENCE: tuple[Side, ...] = ("", "train", "val", "test")
"""Of the same pictures on several sides the last one of these keeps its own."""


def split(
    inputs: Sequence[SplitInput],
    labels: Sequence[str],
    *,
    val_share: float,
    guard_seconds: float,
    seed: int,
) -> tuple[Split, dict[str, Sides], list[str]]:
    """Assign the frames to training and validation, and to the test side where there is one.

    Where the dataset puts sources on sides, they stay there; of the same pictures on two sides only
    those of one are used: test comes before validation, and validation before training. Where it
    states a test side only, the rest is split.

    Args:
        inputs: The sources, in any order.
        labels: Names of the labels, by number.
        val_share: Share of the frames that only evaluation sees, between 0 and 1.
        guard_seconds: Gap between the two sides within one video; at most LARGEST_GUARD_SHARE of
            the video's used stretch.
        seed: Seed of every choice.

    Returns:
        How it was done, the sides of every source by name, and warnings for the user.

    Raises:
        InputError: There is too little to fill both sides.
    """
    inputs = sorted((m for m in inputs if len(m.frames)), key=lambda m: m.source.name)
    if any(m.side in ("val", "test") for m in inputs):
        return _keep_sides(inputs, labels, val_share, guard_seconds, seed)
    rng = np.random.default_rng(seed)
    sides: dict[str, Sides] = {}
    gaps: dict[str, float] = {}
    warnings: list[str] = []
    strategy: Strategy = "image"
    videos = [m for m in inputs if m.source.kind == "video" and not m.source.background]
    if videos:
        strategy, sides, gaps = split_videos(videos, len(labels), val_share, guard_seconds, rng)
    images = [m for m in inputs if m.source.kind == "image"]
    if images:
        found, warnings = split_images(images, len(labels), val_share, rng)
        sides |= found
    background = [m for m in inputs if m.source.background]
    if background:
        # Last, and by itself, so that adding such a video moves no other frame.
        found, more = split_background(
            background, strategy, len(labels), val_share, guard_seconds, rng
        )
        sides |= found
        gaps |= more
    warnings = [*short_gaps(gaps, guard_seconds), *warnings, *judge(inputs, labels, sides)]
    shortest = min(gaps.values(), default=None)
    return Split(strategy, val_share, guard_seconds, seed, shortest), sides, warnings


def _keep_sides(
    inputs: Sequence[SplitInput],
    labels: Sequence[str],
    val_share: float,
    guard_seconds: float,
    seed: int,
) -> tuple[Split, dict[str, Sides], list[str]]:
    """The dataset's own sides, without pictures that are on two of them."""
    kept, warnings = _without_leaks(inputs)
    if all(m.side == "test" for m in kept):
        raise empty_side("train")
    sides = {m.source.name: Sides() for m in inputs}
    test = [m for m in kept if m.side == "test"]
    rest = [m for m in kept if m.side != "test"]
    sides |= {m.source.name: Sides(test=m.usable) for m in test}
    how = Split("own", val_share, guard_seconds, seed)
    if any(m.side == "val" for m in inputs):
        sides |= whole([[m] for m in rest], np.array([m.side == "val" for m in rest], bool))
        warnings += judge(kept, labels, sides, own=True)
    else:
        how, found, more = split(
            [replace(m, side="") for m in rest],
            labels,
            val_share=val_share,
            guard_seconds=guard_seconds,
            seed=seed,
        )
        sides |= found
        warnings += more
    if test:
        warnings += judge_test(kept, labels, sides)
    return how, sides, warnings


def _without_leaks(inputs: Sequence[SplitInput]) -> tuple[list[SplitInput], list[str]]:
    """The inputs without pictures that a side of more weight shows too, and the warnings."""
    kept: list[SplitInput] = []
    lost: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for unit in units_of(inputs):
        winner = max((m.side for m in unit), key=_PRECEDENCE.index)
        for m in unit:
            if winner not in (m.side, "train"):
                lost[m.side or "train", winner].append(m.source.name)
            else:
                kept.append(m)
    kept.sort(key=lambda m: m.source.name)
    warnings = []
    for (loser, keeper), names in sorted(lost.items()):
        warnings.append(
            f"left out of the {SIDE_TITLES[loser]} side, because the {SIDE_TITLES[keeper]} side "
            f"shows the same: {some(names)}."
        )
    return kept, warnings
