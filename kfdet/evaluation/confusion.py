"""The confusion matrix of many labels, cut down to what a person, or a database, can take in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

LARGEST = 30
"""Labels of a matrix that is shown as a whole."""

_MOST_PAIRS = 15
_OTHERS = "other labels"


@dataclass(frozen=True, slots=True)
class Confused:
    """Detections under a wrong label.

    Args:
        true: Label of the objects that they are on.
        found: Label of the detections.
        count: How many detections that are.
        share: The same as a share of the objects of the true label.
    """

    true: str
    found: str
    count: int
    share: float


def worst_pairs(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], most: int = _MOST_PAIRS
) -> list[Confused]:
    """The most frequent confusions of two labels, the most frequent one first.

    Args:
        labels: Of rows and columns, background last.
        matrix: As `ErrorAnalysis.confusion`.
        most: How many.
    """
    counts = np.array(matrix, np.int64)
    objects = np.maximum(counts.diagonal() + counts[:, -1], 1)  # none where all are difficult
    wrong = _between(counts)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return [
        Confused(labels[row], labels[column], count, count / int(objects[row]))
        for row, column in zip(*np.unravel_index(worst, wrong.shape), strict=True)
        if (count := int(wrong[row, column]))
    ]


def shorten(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], most: int = LARGEST
) -> tuple[list[str], list[list[int]]]:
    """The matrix of the labels that are confused most, with all others as one more label.

    Args:
        labels: Of rows and columns, background last.
        matrix: As `ErrorAnalysis.confusion`.
        most: How many labels remain; a matrix of no more is returned as it is.
    """
    counts = np.array(matrix, np.int64)
    if len(counts) - 1 <= most:
        return list(labels), counts.tolist()
    wrong = _between(counts)
    confusions = wrong.sum(axis=0) + wrong.sum(axis=1)
    kept = np.sort(np.argsort(-confusions, kind="stable")[:most])
    places = np.full(len(counts), most)
    places[kept] = np.arange(most)
    places[-1] = most + 1
    short = np.zeros((most + 2, most + 2), np.int64)
    np.add.at(short, (places[:, None], places[None, :]), counts)
    return [*(labels[k] for k in kept), _OTHERS, labels[-1]], short.tolist()


def _between(counts: Integers) -> Integers:
    """The matrix of the labels alone, without what is right."""
    wrong = counts[:-1, :-1].copy()
    np.fill_diagonal(wrong, 0)
    return wrong
