"""Objects with several boxes, and pictures that are in a dataset several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, permutations

import numpy as np

from kfdet.boxes.tables import UNTRACKED, iou_matrix
from kfdet.dataset.formats.model import Item, KeyBox, Side
from kfdet.dataset.media_files import ON_DISK, MediaFiles
from kfdet.errors import Problem

SAME_OBJECT_IOU = 0.7
"""From this overlap on two boxes of one label on one picture are around one object."""
SAME_BOX_IOU = 0.5
"""From this overlap on boxes of two people are around one object."""

_WEIGHT: tuple[Side, ...] = ("", "train", "val", "test")
"""Of equal pictures on several sides, the one on the last of these is kept."""


def check_repeated_boxes(items: Iterable[Item], file_of: dict[str, str]) -> Iterator[Problem]:
    """The warning for each picture that has several boxes of one label around one object.

    Args:
        items: The items.
        file_of: Annotation file of each item, by the item's name.
    """
    for item in items:
        repeated = [group for group in _same_object(item) if len(group) > 1]
        if repeated:
            first = item.keys[repeated[0][1]]
            more = f", and so have {len(repeated) - 1} more objects" if len(repeated) > 1 else ""
            yield Problem(
                "warning",
                f"{item.name}: {len(repeated[0])} boxes of {first.label!r} are around one object "
                f"(IoU {SAME_OBJECT_IOU:g} or more){more}. The detector could find only one.",
                file_of[item.name],
                first.line or None,
                first.frame if item.kind == "video" else None,
                "Delete all but one, or unite them with --merge-boxes.",
            )


def merge_repeated_boxes(item: Item) -> None:
    """Replace several boxes of one label around one object by their mean."""
    repeats: set[int] = set()
    for first, *others in _same_object(item):
        if others:
            mean = np.mean([item.keys[i][3:7] for i in (first, *others)], axis=0).tolist()
            sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), mean, strict=True))
            item.keys[first] = item.keys[first]._replace(**sides)
            repeats.update(others)
    item.keys = [key for i, key in enumerate(item.keys) if i not in repeats]


def _same_object(item: Item) -> Iterator[list[int]]:
    """Positions of the boxes of each object: of one label, on one picture, without a track."""

    def place(i: int) -> tuple[int, str]:
        return item.keys[i].frame, item.keys[i].label

    boxes = [
        i
        for i, key in enumerate(item.keys)
        if key.track_id == UNTRACKED and not (key.outside or key.crowd)
    ]
    for _, found in groupby(sorted(boxes, key=place), place):
        group = list(found)
        if len(group) == 1:
            yield group
            continue
        sides = np.array([item.keys[i][3:7] for i in group], np.float64)
        same = iou_matrix(sides, sides) >= SAME_OBJECT_IOU
        left = np.arange(len(group))
        while len(left):
            first, others = left[0], left[1:]
            one = same[first, others]
            yield [group[i] for i in (first, *others[one])]
            left = others[~one]


def unite_copies(
    items: Sequence[Item], media: MediaFiles = ON_DISK
) -> tuple[list[Item], list[Problem]]:
    """Leave out copies of an image that have other boxes; the one that stays gets all boxes.

    Args:
        items: The items.
        media: How their files are looked at.

    Returns:
        The items that are used, and what was found: copies of images, which are warnings, and
        copies of videos, which are errors.
    """
    labelled = [item for item in items if item.annotation]
    copies: defaultdict[int, list[Item]] = defaultdict(list)
    for item, number in zip(
        labelled, media.identical([item.path for item in labelled]).tolist(), strict=True
    ):
        copies[number].append(item)
    problems: list[Problem] = []
    left_out: set[str] = set()
    for first, *others in copies.values():
        if first.kind == "video" or _alike([first, *others]):
            problems += [_copy(first, other) for other in others]
            continue
        kept = max((first, *others), key=lambda item: _WEIGHT.index(item.side))
        for other in (first, *others):
            if other is not kept:
                kept.keys += _missing(other, kept)
                left_out.add(other.name)
                problems.append(_united(kept, other))
    return [item for item in items if item.name not in left_out], problems


def _alike(copies: Sequence[Item]) -> bool:
    return not any(_missing(a, b) for a, b in permutations(copies, 2))


def _missing(item: Item, other: Item) -> list[KeyBox]:
    """The boxes of the image `item` that its copy `other` does not have."""
    labels = np.array([key.label for key in other.keys])
    boxes = np.array([key[3:7] for key in other.keys], np.float64).reshape(-1, 4)

    def there(key: KeyBox) -> bool:
        overlaps = iou_matrix(np.array([key[3:7]], np.float64), boxes[labels == key.label])
        return bool((overlaps >= SAME_BOX_IOU).any())

    return [key for key in item.keys if not there(key)]


def _united(kept: Item, other: Item) -> Problem:
    return Problem(
        "warning",
        f"the same image as {kept.name} with other boxes: the boxes of both are used, on "
        f"{kept.name}.",
        str(other.path),
        hint="Delete one of them, after its boxes are in the annotations of the other.",
    )


def _copy(first: Item, other: Item) -> Problem:
    text = f"the same {other.kind} as {first.name}."
    if other.kind == "video":
        # A split by video would learn from the one and measure on the other.
        return Problem("error", text, str(other.path), hint="Delete one of them.")
    hint = "Delete one of them; until then both are on one side of the split."
    return Problem("warning", text, str(other.path), hint=hint)
