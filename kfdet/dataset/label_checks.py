"""Checks of the label names of a whole dataset."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kfdet.errors import Problem
from kfdet.parameters import Mirror, join_list

MIN_BOXES = 3
"""A class with fewer key boxes cannot be learned and measured at all: an error."""
FEW_BOXES = 10
RARE_SHARE = 0.1
_LONGEST_TYPED = 64
"""Longer names are not compared; they are hardly ever typed by hand."""
_COMPARISONS = 200_000
"""Of names with each other: a few seconds."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where a label was used: (label, annotation file, line, frame or None) of one visible box."""

    label: str
    file: str
    line: int
    frame: int | None


def check_labels(uses: Iterable[Use]) -> list[Problem]:
    """Problems with label names: spellings that split a class, typos, too few boxes.

    - Names that differ only in case, spaces, hyphens or underscores: an error, since they would be
      trained as different classes.
    - A rare name one or two letters away from a frequent one: a warning.
    - Fewer than MIN_BOXES boxes: an error; fewer than FEW_BOXES: a warning.
    - No box in the whole dataset: an error.
    """
    counts: Counter[str] = Counter()
    first: dict[str, Use] = {}
    for use in uses:
        counts[use.label] += 1
        first.setdefault(use.label, use)
    if not counts:
        return [
            Problem(
                "error",
                "the dataset has no boxes.",
                hint="Draw boxes around the objects, export the annotations and put them into "
                "annotations/ (see 'kfdet check --help').",
            )
        ]
    variants = _variants(counts)
    # Every rare name is compared with the frequent ones: fewer of them where there are very many.
    frequent = counts.most_common(max(1, _COMPARISONS // len(counts)))
    problems = []
    for label in sorted(counts):
        use, count = first[label], counts[label]
        common = variants.get(label)
        if common is not None:
            problems.append(
                _problem(
                    "error",
                    f"label {label!r} ({count} boxes) and label {common!r} "
                    f"({counts[common]} boxes) differ only in case, spaces, hyphens or underscores",
                    use,
                    f"{_use_rename(label, common)}, or give it another name.",
                )
            )
            continue
        near = _nearest(label, counts, frequent)
        suggestion = f"Did you mean {near!r}? {_use_rename(label, near)}. " if near else ""
        boxes = "1 box" if count == 1 else f"{count} boxes"
        if count < MIN_BOXES and label not in variants.values():
            problems.append(
                _problem(
                    "error",
                    f"label {label!r} has only {boxes}; a class needs at least {MIN_BOXES} and "
                    "should have hundreds",
                    use,
                    f"{suggestion or 'Draw more of them. '}Without it: "
                    f"{_option('--ignore', f'label={label}')}.",
                )
            )
        elif near:
            problems.append(
                _problem(
                    "warning",
                    f"label {label!r} ({boxes}) looks like {near!r} ({counts[near]} boxes)",
                    use,
                    f"If it is a typing error: {_option('--rename', f'{label}={near}')}.",
                )
            )
        elif count < FEW_BOXES:
            problems.append(
                _problem(
                    "warning",
                    f"label {label!r} has only {boxes}; too few to learn it well",
                    use,
                    "Draw more of them: hundreds are better.",
                )
            )
    return problems


def mirrored_labels(labels: Iterable[str], mirror: Mirror) -> list[str]:
    """Warnings about pairs of labels that are each other's mirror image, such as left and right.

    Args:
        labels: The labels of a detector.
        mirror: How training mirrors pictures.
    """
    opposites = {"left": "right", "up": "down", "top": "bottom"}
    harmful = {"left"} if mirror in ("horizontal", "both") else set()
    harmful |= {"up", "top"} if mirror in ("vertical", "both") else set()
    names = {re.sub(r"[\W_]+", " ", label.casefold()): label for label in labels}
    found = []
    for name, label in names.items():
        for one, other in opposites.items():
            opposite = names.get(re.sub(rf"\b{one}\b", other, name))
            if one in harmful and opposite not in (None, label):
                found.append(
                    f"labels {label!r} and {opposite!r} look like mirror images, and training "
                    "mirrors pictures: use --mirror none."
                )
    return found


def _use_rename(old: str, new: str) -> str:
    return f"Use {_option('--rename', f'{old}={new}')}"


def _option(name: str, value: str) -> str:
    """An option as it is typed; commas separate the entries of a list."""
    return f"{name} {shlex.quote(join_list([value]))}"


def _problem(severity: Literal["error", "warning"], text: str, use: Use, hint: str) -> Problem:
    return Problem(severity, f"{text}.", use.file, use.line or None, use.frame, hint)


def _variants(counts: Counter[str]) -> dict[str, str]:
    """For every rarer spelling of a name its most frequent spelling."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda name: (-counts[name], name)):
        key = "".join(letter for letter in label.casefold() if letter not in " _-\t")
        spellings.setdefault(key, []).append(label)
    return {rare: names[0] for names in spellings.values() for rare in names[1:]}


def _nearest(label: str, counts: Counter[str], frequent: Sequence[tuple[str, int]]) -> str:
    """The frequent label that `label`, being rare, is probably a misspelling of; "" if none."""
    own = counts[label]
    for other, count in frequent:
        if own >= count or own > max(RARE_SHARE * count, 1):
            break  # All others are rarer.
        longest = max(len(label), len(other))
        if longest > _LONGEST_TYPED:
            continue
        allowed = 2 if longest >= 8 else 1 if longest >= 4 else 0
        if _within(label.casefold(), other.casefold(), allowed) and not _differs_in_digits(
            label, other
        ):
            return other
    return ""


def _differs_in_digits(a: str, b: str) -> bool:
    """Whether "car 1" and "car 2" are meant: the same letters with other digits."""
    plain = str.maketrans("", "", "0123456789")
    return a.translate(plain) == b.translate(plain)


def _within(a: str, b: str, edits: int) -> bool:
    """Whether so many edits (insert, delete, replace, swap neighbours) make one word of the other.

    Looks at the first letter that differs only, so that its time hardly grows with the words.
    """
    if abs(len(a) - len(b)) > edits:
        return False
    same = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        same += 1
    a, b = a[same:], b[same:]
    if not a or not b:
        return len(a) + len(b) <= edits
    if not edits:
        return False
    return (
        _within(a[1:], b[1:], edits - 1)
        or _within(a[1:], b, edits - 1)
        or _within(a, b[1:], edits - 1)
        or (a[:2] == b[1::-1] and _within(a[2:], b[2:], edits - 1))
    )
