"""The split into frames that train and frames that only evaluate, without leaks between them.

Neighbouring frames of a video are nearly the same picture, so frames are never assigned one by
one: whole videos change sides, or, where there are too few videos, one block of each video with a
gap beside it. Duplicates stay on one side. The strategy is chosen by what it can measure: every
label on both sides comes first, then unseen videos before unseen stretches of seen ones.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from kfdet.dataset.formats.model import Side
from kfdet.errors import InputError
from kfdet.planning.plan import FrameRange, Source, Split
from kfdet.planning.ranges import Ranges, contains, intersect

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Strategy = Literal["video", "time-block", "image", "own", "whole"]
Gaps = dict[str, float]
"""Seconds left out on each side of the evaluation block, by the name of the video."""

LARGEST_GUARD_SHARE = 0.1
"""A guard gap takes at most this share of a video's used stretch; videos may be short."""
_MOST_EXTRA_SHARE = 0.1
_LEAST_SHARE = 0.25
_BLOCK_POSITIONS = 64
_EXHAUSTIVE_UNITS = 8
_SEQUENCE_SHARE = 0.5
_SEQUENCE_IMAGES = 10


_PRECEDENCE: tuple[Side, ...] = ("", "train", "val", "test")
"""Of the same pictures on several sides the last one of these keeps its own."""
_SIDE_NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class SplitInput:
    """One source that the split assigns, and its usable frames.

    Args:
        source: The source.
        usable: Ranges with boxes or covered background.
        frames: (F,) the frames of these ranges that the run will use, rising.
        boxes: (F, L) boxes of every label on these frames.
        duplicate: Sources with the same number show the same pictures.
        side: The side that the dataset puts the source on.
    """

    source: Source
    usable: Ranges
    frames: Integers
    boxes: Integers
    duplicate: int
    side: Side = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """Frame ranges of one source on every side."""

    train: Ranges = ()
    val: Ranges = ()
    test: Ranges = ()


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
        labels: Names of the columns of `SplitInput.boxes`.
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
        strategy, sides, gaps = _split_videos(videos, val_share, guard_seconds, rng)
    images = [m for m in inputs if m.source.kind == "image"]
    if images:
        found, warnings = _by_image(images, val_share, rng)
        sides |= found
    background = [m for m in inputs if m.source.background]
    if background:
        # Last, and by itself, so that adding such a video moves no other frame.
        found, more = _split_background(background, strategy, val_share, guard_seconds, rng)
        sides |= found
        gaps |= more
    warnings = [*_short_gaps(gaps, guard_seconds), *warnings, *_judge(inputs, labels, sides)]
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
        raise _empty("train")
    sides = {m.source.name: Sides() for m in inputs}
    test = [m for m in kept if m.side == "test"]
    rest = [m for m in kept if m.side != "test"]
    sides |= {m.source.name: Sides(test=m.usable) for m in test}
    how = Split("own", val_share, guard_seconds, seed)
    if any(m.side == "val" for m in inputs):
        sides |= _whole([[m] for m in rest], np.array([m.side == "val" for m in rest], bool))
        warnings += _judge(kept, labels, sides, own=True)
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
        warnings += _judge_test(kept, labels, sides)
    return how, sides, warnings


def _without_leaks(inputs: Sequence[SplitInput]) -> tuple[list[SplitInput], list[str]]:
    """The inputs without pictures that a side of more weight shows too, and the warnings."""
    kept: list[SplitInput] = []
    lost: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for unit in _units(inputs):
        winner = max((m.side for m in unit), key=_PRECEDENCE.index)
        for m in unit:
            if winner not in (m.side, "train"):
                lost[m.side or "train", winner].append(m.source.name)
            else:
                kept.append(m)
    kept.sort(key=lambda m: m.source.name)
    warnings = []
    for (loser, keeper), names in sorted(lost.items()):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warnings.append(
            f"left out of the {_SIDE_NAMES[loser]} side, because the {_SIDE_NAMES[keeper]} side "
            f"shows the same: {', '.join(names[:3])}{more}."
        )
    return kept, warnings


def _units(inputs: Sequence[SplitInput]) -> list[list[SplitInput]]:
    """Inputs that must stay together on one side."""
    units: defaultdict[int, list[SplitInput]] = defaultdict(list)
    for one in inputs:
        units[one.duplicate].append(one)
    return list(units.values())


def _split_videos(
    videos: Sequence[SplitInput], val_share: float, guard_seconds: float, rng: np.random.Generator
) -> tuple[Strategy, dict[str, Sides], Gaps]:
    """Whole videos for evaluation, or blocks of them: what leaves fewer labels unmeasured.

    Else whole videos, if their share is near enough to `val_share`.
    """
    units = _units(videos)
    val = _choose(units, val_share, rng)
    if val is None:
        return "time-block", *_by_block(units, val_share, guard_seconds)
    whole = _whole(units, val)
    frames = np.array([sum(len(m.frames) for m in unit) for unit in units])
    share = frames[val].sum() / frames.sum()
    balanced = _LEAST_SHARE * val_share <= share <= max(0.4, val_share + _MOST_EXTRA_SHARE)
    missing = _missing(videos, whole)
    if balanced and missing == (0, 0):
        return "video", whole, {}
    block, gaps = _by_block(units, val_share, guard_seconds)
    if (*missing, 0 if balanced else 2) < (*_missing(videos, block), 1):
        return "video", whole, {}
    return "time-block", block, gaps


def _whole(units: Sequence[Sequence[SplitInput]], val: Flags) -> dict[str, Sides]:
    """Every unit as a whole: in evaluation where `val` is set, else in training."""
    return {
        m.source.name: Sides(val=m.usable) if is_val else Sides(train=m.usable)
        for unit, is_val in zip(units, val, strict=True)
        for m in unit
    }


def _choose(
    units: Sequence[Sequence[SplitInput]], val_share: float, rng: np.random.Generator
) -> Flags | None:
    """Which units evaluate: every label on both sides where possible, shares near `val_share`.

    Tries all choices of few units; of many, seeded random ones, repaired where labels are missing.
    """
    if len(units) < 2:
        return None
    counts = np.array([sum(m.boxes.sum(axis=0) for m in unit) for unit in units])
    frames = np.array([sum(len(m.frames) for m in unit) for unit in units])
    if len(units) <= _EXHAUSTIVE_UNITS:
        masks = rng.permutation(np.arange(1, 2 ** len(units) - 1))
        choices = ((masks[:, None] >> np.arange(len(units))) & 1).astype(bool)
    else:
        tries = int(np.clip(2_000_000 // counts.size, 4, 128))
        choices = np.array([_draw(counts, frames, val_share, rng) for _ in range(tries)])
    scores = [_score(counts, frames, choice, val_share) for choice in choices]
    best: Flags = choices[min(range(len(scores)), key=scores.__getitem__)]
    return best


def _draw(counts: Integers, frames: Integers, val_share: float, rng: np.random.Generator) -> Flags:
    """A random choice of about `val_share` of the frames, with a unit of every label that can."""
    order = rng.permutation(len(frames))
    total = np.cumsum(frames[order])
    size = int(np.argmin(np.abs(total - val_share * total[-1]))) + 1
    val = np.zeros(len(frames), bool)
    val[order[: min(size, len(frames) - 1)]] = True
    present = counts > 0
    rare_first = np.argsort(present.sum(axis=0), kind="stable")
    for label in rare_first:
        holders = present[:, label]
        if holders[~val].any() and (holders[val].any() or holders.sum() < 2):
            continue
        # Move the lightest unit that has the label; training comes first.
        to_val = bool(holders[~val].any())
        movable = order[holders[order] & (val[order] != to_val)]
        if len(movable):
            val[movable[np.argmin(frames[movable])]] = to_val
    return val


def _score(
    counts: Integers, frames: Integers, val: Flags, val_share: float
) -> tuple[int, int, int, float]:
    """Score of a choice, smaller is better.

    Labels missing in training, missing in evaluation, and thin ones come before uneven shares.
    """
    total, in_val = counts.sum(axis=0), counts[val].sum(axis=0)
    missing, thin = _gaps(total, in_val, val_share)
    share = in_val / np.maximum(total, 1)
    uneven = abs(frames[val].sum() / frames.sum() - val_share)
    return *missing, thin, float(uneven + np.abs(share - val_share).mean())


def _gaps(total: Integers, in_val: Integers, val_share: float) -> tuple[tuple[int, int], int]:
    """Labels missing in training and in evaluation, and those with under half of their share."""
    in_train = total - in_val
    used = total > 0
    thin = (in_val < val_share * total / 2) | (in_train < (1 - val_share) * total / 2)
    missing = (int((used & (in_train == 0)).sum()), int((used & (in_val == 0)).sum()))
    return missing, int((used & thin).sum())


def _by_block(
    units: Sequence[Sequence[SplitInput]], val_share: float, guard_seconds: float
) -> tuple[dict[str, Sides], Gaps]:
    """One block of every video for evaluation, late blocks preferred; short videos train only."""
    sides = {}
    gaps: Gaps = {}
    for unit in units:
        # The same video twice is cut at the same place.
        frames, where = np.unique(np.concatenate([m.frames for m in unit]), return_inverse=True)
        boxes = np.zeros((len(frames), unit[0].boxes.shape[1]), np.int64)
        np.add.at(boxes, where, np.concatenate([m.boxes for m in unit]))
        source = unit[0].source
        wanted = guard_seconds * source.fps
        most = LARGEST_GUARD_SHARE * (frames[-1] - frames[0] + 1)
        guard = max(1, math.ceil(min(wanted, most)))
        block = _block(frames, boxes, val_share, guard)
        if block is not None and source.fps:
            gaps[source.name] = guard / source.fps
        for m in unit:
            sides[m.source.name] = _cut(m, block, guard) if block else Sides(train=m.usable)
    return sides, gaps


def _short_gaps(gaps: Gaps, guard_seconds: float) -> list[str]:
    """The warning that gaps are shorter than asked for."""
    short = [f"{name} ({gap:.1f} s)" for name, gap in gaps.items() if gap < guard_seconds]
    if not short:
        return []
    more = f" and {len(short) - 3} more" if len(short) > 3 else ""
    return [
        f"the gap between training and evaluation is shorter than {guard_seconds:g} s in short "
        f"videos: {', '.join(short[:3])}{more}."
    ]


def _split_background(
    videos: Sequence[SplitInput],
    strategy: Strategy,
    val_share: float,
    guard_seconds: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Sides], Gaps]:
    """Videos without any object: as whole videos where the others are, if there are several."""
    units = _units(videos)
    val = _choose(units, val_share, rng) if strategy == "video" else None
    if val is None:
        return _by_block(units, val_share, guard_seconds)
    return _whole(units, val), {}


def _cut(video: SplitInput, block: FrameRange, guard: int) -> Sides:
    first, last = block
    outer = ((video.source.start, first - guard - 1), (last + guard + 1, video.source.stop))
    return Sides(intersect(video.usable, outer), intersect(video.usable, [block]))


def _block(frames: Integers, boxes: Integers, val_share: float, guard: int) -> FrameRange | None:
    """First and last frame of the evaluation block; None where a side would be empty.

    Args:
        frames: (F,) used frames.
        boxes: (F, L) boxes of every label on them.
        val_share: Share of the frames in the block.
        guard: Frames left out on both sides of the block.
    """
    size = max(1, round(val_share * len(frames)))
    latest = len(frames) - size
    sums = np.concatenate([np.zeros((1, boxes.shape[1]), np.int64), np.cumsum(boxes, axis=0)])
    best: tuple[tuple[int, int, int, int, int], FrameRange] | None = None
    for rank, start in enumerate(np.unique(np.linspace(latest, 0, _BLOCK_POSITIONS).round())[::-1]):
        i = int(start)
        first, last = int(frames[i]), int(frames[i + size - 1])
        before = int(np.searchsorted(frames, first - guard))
        after = int(np.searchsorted(frames, last + guard, side="right"))
        if before == 0 and after == len(frames):
            continue
        in_val = sums[i + size] - sums[i]
        in_train = sums[before] + sums[-1] - sums[after]
        _, thin = _gaps(in_val + in_train, in_val, val_share)
        used = sums[-1] > 0
        score = (
            int(in_train.sum() == 0) + int(in_val.sum() == 0),
            int((used & (in_train == 0)).sum()),
            int((used & (in_val == 0)).sum()),
            thin,
            rank,
        )
        if best is None or score < best[0]:
            best = score, (first, last)
    return best[1] if best else None


def _by_image(
    images: Sequence[SplitInput], val_share: float, rng: np.random.Generator
) -> tuple[dict[str, Sides], list[str]]:
    """Clusters of duplicates on one side; frames of one video, which are all alike, as blocks."""
    units = _units(images)
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
        boxes = np.concatenate([m.boxes for m in sequence])
        block = _block(np.arange(len(sequence)), boxes, val_share, guard)
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
    val = _choose(rest, val_share, rng)
    return sides | _whole(rest, np.zeros(len(rest), bool) if val is None else val), warnings


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts frame_9 before frame_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _totals(inputs: Sequence[SplitInput], sides: Mapping[str, Sides]) -> tuple[Integers, Integers]:
    """Boxes of every label in training and in evaluation."""
    return _total(inputs, sides, "train"), _total(inputs, sides, "val")


def _total(inputs: Sequence[SplitInput], sides: Mapping[str, Sides], side: str) -> Integers:
    """Boxes of every label on one side."""
    counts = [
        m.boxes[contains(getattr(sides[m.source.name], side), m.frames)].sum(axis=0) for m in inputs
    ]
    total: Integers = np.sum(counts, axis=0)
    return total


def _missing(inputs: Sequence[SplitInput], sides: Mapping[str, Sides]) -> tuple[int, int]:
    train, val = _totals(inputs, sides)
    used = sum(m.boxes.sum(axis=0) for m in inputs) > 0
    return int((used & (train == 0)).sum()), int((used & (val == 0)).sum())


def _judge_test(
    inputs: Sequence[SplitInput], labels: Sequence[str], sides: Mapping[str, Sides]
) -> list[str]:
    """Warnings about labels without a box on the test side.

    Raises:
        InputError: None has one.
    """
    counts = _total(inputs, sides, "test")
    if not counts.sum():
        raise _empty("test")
    return [
        f"label {label!r} has no box on the test side: the result says nothing about it."
        for label, count in zip(labels, counts, strict=True)
        if not count
    ]


def _empty(side: str) -> InputError:
    """The error for a side that the dataset states and that holds no box."""
    return InputError(
        f"the {_SIDE_NAMES[side]} side has no box.",
        hint="Put annotated videos or images on it: --val, --test and dataset.yaml name the "
        "sides, else the dataset itself does, which --no-own-sides turns off.",
    )


def _judge(
    inputs: Sequence[SplitInput],
    labels: Sequence[str],
    sides: Mapping[str, Sides],
    *,
    own: bool = False,
) -> list[str]:
    """Warnings about labels on one side only; `own` where the dataset states the sides.

    Raises:
        InputError: A side has no boxes at all.
    """
    hint = (
        "Add a second annotated video, or annotate more of this one: seconds apart, with objects "
        "in them. Of images, add some that show something else."
    )
    if not inputs:
        raise InputError("the dataset has no frame with a box.", hint=hint)
    train, val = _totals(inputs, sides)
    if own and not (train.sum() and val.sum()):
        raise _empty("val" if train.sum() else "train")
    if not train.sum() or not val.sum():
        side = "evaluation" if train.sum() else "training"
        count = sum(len(m.frames) for m in inputs)
        alike = len({m.duplicate for m in inputs}) < len(inputs)
        raise InputError(
            f"the dataset is too small to be split: {count} usable "
            f"{'frame' if count == 1 else 'frames'} in {len(inputs)} "
            f"{'source' if len(inputs) == 1 else 'sources'}"
            f"{' (some of which are alike)' if alike else ''} leave no boxes for {side}.",
            hint=hint,
        )
    warnings = []
    for label, in_train, in_val in zip(labels, train, val, strict=True):
        if not in_train:
            warnings.append(
                f"label {label!r} cannot be learned: none of its boxes is left for training. "
                "Annotate it in another video or another part of the video."
            )
        elif not in_val:
            warnings.append(
                f"label {label!r} cannot be evaluated: all its boxes are in one place, which "
                "training needs. Annotate it in another video or another part of the video."
            )
    return warnings
