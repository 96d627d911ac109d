"""Checks of the label names of a whole dataset."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kfdet.errors import Problem
from kfdet.parameters import join_list

MIN_BOXES = 3
"""A class with fewer key boxes cannot be learned and measured at all: an error."""
FEW_BOXES = 10
RARE_SHARE = 0.1


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
        near = _nearest(label, counts)
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


def _nearest(label: str, counts: Counter[str]) -> str:
    """The frequent label that `label`, being rare, is probably a misspelling of; "" if none."""
    for other, count in counts.most_common():
        if other == label or counts[label] > max(RARE_SHARE * count, 1):
            continue
        if counts[label] >= count:
            continue
        longest = max(len(label), len(other))
        allowed = 2 if longest >= 8 else 1 if longest >= 4 else 0
        if _differs_in_digits(label, other):
            continue
        if _distance(label.casefold(), other.casefold()) <= allowed:
            return other
    return ""


def _differs_in_digits(a: str, b: str) -> bool:
    """Whether "car 1" and "car 2" are meant: the same letters with other digits."""
    plain = str.maketrans("", "", "0123456789")
    return a.translate(plain) == b.translate(plain)


def _distance(a: str, b: str) -> int:
    """Edits (insert, delete, replace, swap neighbours) between two words."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, previous, row = row, before, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
    return row[-1]
