"""Which units, or which block of frames, to keep for evaluation: what measures most labels."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kfdet.planning.plan import FrameRange
from kfdet.planning.sides import Counts, Flags, Integers, SplitInput, total

_BLOCK_POSITIONS = 64
_EXHAUSTIVE_UNITS = 8


def choose_units(
    units: Sequence[Sequence[SplitInput]],
    labels: int,
    val_share: float,
    rng: np.random.Generator,
) -> Flags | None:
    """Which units evaluate: every label on both sides where possible, shares near `val_share`.

    Tries all choices of few units; of many, seeded random ones, repaired where labels are missing.
    `labels` is how many the dataset has.
    """
    if len(units) < 2:
        return None
    parts = _parts(units, labels)
    count = len(units)
    if count <= _EXHAUSTIVE_UNITS:
        masks = rng.permutation(np.arange(1, 2**count - 1))
        choices = ((masks[:, None] >> np.arange(count)) & 1).astype(bool)
    else:
        tries = int(np.clip(2_000_000 // (count * parts.labels), 4, 128))
        choices = np.array([_draw(parts, val_share, rng) for _ in range(tries)])
    scores = [_score(parts, choice, val_share) for choice in choices]
    best: Flags = choices[min(range(len(scores)), key=scores.__getitem__)]
    return best


@dataclass(frozen=True, slots=True)
class _Parts:
    """What U units hold of L labels: N entries, sorted by label, as most units have few of them.

    Args:
        frames: (U,) frames of every unit.
        labels: L.
        label: (N,) rising.
        unit: (N,) unit that has boxes of the label.
        boxes: (N,) how many.
    """

    frames: Integers
    labels: int
    label: Integers
    unit: Integers
    boxes: Integers

    def boxes_of(self, chosen: Flags | slice) -> Integers:
        """(L,) boxes of every label, of the chosen entries."""
        total = np.zeros(self.labels, np.int64)
        np.add.at(total, self.label[chosen], self.boxes[chosen])
        return total


def _parts(units: Sequence[Sequence[SplitInput]], labels: int) -> _Parts:
    entries = array("q"), array("q"), array("q")
    for number, unit in enumerate(units):
        counts = total(((m.labels, m.boxes) for m in unit), labels)
        found = np.flatnonzero(counts)
        values = found.tolist(), [number] * len(found), counts[found].tolist()
        for column, more in zip(entries, values, strict=True):
            column.extend(more)
    label, owner, boxes = (np.asarray(column, np.int64) for column in entries)
    order = np.argsort(label, kind="stable")
    return _Parts(
        frames=np.array([sum(len(m.frames) for m in unit) for unit in units]),
        labels=labels,
        label=label[order],
        unit=owner[order],
        boxes=boxes[order],
    )


def _draw(parts: _Parts, val_share: float, rng: np.random.Generator) -> Flags:
    """A random choice of about `val_share` of the frames, with a unit of every label that can."""
    frames = parts.frames
    order = rng.permutation(len(frames))
    rank = np.argsort(order)
    total = np.cumsum(frames[order])
    size = int(np.argmin(np.abs(total - val_share * total[-1]))) + 1
    val = np.zeros(len(frames), bool)
    val[order[: min(size, len(frames) - 1)]] = True
    first = np.searchsorted(parts.label, np.arange(parts.labels + 1))
    rare_first = np.argsort(np.diff(first), kind="stable")
    for label in rare_first:
        holders = parts.unit[first[label] : first[label + 1]]
        in_val = val[holders]
        if not in_val.all() and (in_val.any() or len(holders) < 2):
            continue
        # Move the lightest unit that has the label; training comes first.
        to_val = not in_val.all()
        movable = holders[in_val != to_val]
        if len(movable):
            val[movable[np.lexsort((rank[movable], frames[movable]))[0]]] = to_val
    return val


def _score(parts: _Parts, val: Flags, val_share: float) -> tuple[int, int, int, float]:
    """Score of a choice, smaller is better.

    Labels missing in training, missing in evaluation, and thin ones come before uneven shares.
    """
    total, in_val = parts.boxes_of(slice(None)), parts.boxes_of(val[parts.unit])
    missing, thin = label_gaps(total, in_val, val_share)
    share = in_val / np.maximum(total, 1)
    uneven = abs(parts.frames[val].sum() / parts.frames.sum() - val_share)
    return *missing, thin, float(uneven + np.abs(share - val_share).mean())


def label_gaps(total: Integers, in_val: Integers, val_share: float) -> tuple[tuple[int, int], int]:
    """Labels missing in training and in evaluation, and those with under half of their share."""
    in_train = total - in_val
    used = total > 0
    thin = (in_val < val_share * total / 2) | (in_train < (1 - val_share) * total / 2)
    missing = (int((used & (in_train == 0)).sum()), int((used & (in_val == 0)).sum()))
    return missing, int((used & thin).sum())


def boxes_on(unit: Sequence[SplitInput], place: Integers) -> Counts:
    """Boxes of every label that a unit shows, (F, P), where its frames have places in 0..F-1.

    Args:
        unit: Sources.
        place: Place of each of their frames, one source after the other; frames may share one.
    """
    shown = np.unique(np.concatenate([m.labels for m in unit]))
    boxes = np.zeros((place.max() + 1, len(shown)), np.int32)
    start = 0
    for m in unit:
        rows = place[start : start + len(m.frames)]
        boxes[rows[:, None], np.searchsorted(shown, m.labels)] += m.boxes
        start += len(m.frames)
    return boxes


def choose_block(
    frames: Integers, boxes: Counts, val_share: float, guard: int
) -> FrameRange | None:
    """First and last frame of the evaluation block; None where a side would be empty.

    Args:
        frames: (F,) used frames.
        boxes: (F, P) boxes of labels on them.
        val_share: Share of the frames in the block.
        guard: Frames left out on both sides of the block.
    """
    size = max(1, round(val_share * len(frames)))
    latest = len(frames) - size
    start = np.unique(np.linspace(latest, 0, _BLOCK_POSITIONS).round())[::-1].astype(np.int64)
    first, last = frames[start], frames[start + size - 1]
    before = np.searchsorted(frames, first - guard)
    after = np.searchsorted(frames, last + guard, side="right")
    # Sums up to these frames only; those up to every frame would take many times their boxes.
    cuts = np.unique(np.concatenate([start, start + size, before, after, [0, len(frames)]]))
    sums = np.zeros((len(cuts), boxes.shape[1]), np.int64)
    np.cumsum(np.add.reduceat(boxes, cuts[:-1], axis=0, dtype=np.int64), axis=0, out=sums[1:])

    def up_to(place: Integers) -> Integers:
        return sums[np.searchsorted(cuts, place)]

    in_vals = up_to(start + size) - up_to(start)
    in_trains = up_to(before) + sums[-1] - up_to(after)
    used = sums[-1] > 0
    best: tuple[tuple[int, int, int, int, int], FrameRange] | None = None
    for rank, (in_train, in_val) in enumerate(zip(in_trains, in_vals, strict=True)):
        if before[rank] == 0 and after[rank] == len(frames):
            continue
        _, thin = label_gaps(in_val + in_train, in_val, val_share)
        score = (
            int(in_train.sum() == 0) + int(in_val.sum() == 0),
            int((used & (in_train == 0)).sum()),
            int((used & (in_val == 0)).sum()),
            thin,
            rank,
        )
        if best is None or score < best[0]:
            best = score, (int(first[rank]), int(last[rank]))
    return best[1] if best else None
