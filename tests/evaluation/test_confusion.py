from __future__ import annotations

import numpy as np

from kfdet.evaluation.confusion import Confused, shorten, worst_pairs

LABELS = ["cat", "dog", "fox", "hen", "background"]
MATRIX = [
    [90, 2, 0, 0, 10],
    [0, 50, 7, 0, 0],
    [0, 5, 40, 0, 60],
    [0, 0, 0, 9, 1],
    [3, 0, 0, 4, 0],
]


def test_the_worst_pairs_come_first_and_background_is_no_label() -> None:
    expected = [
        Confused("dog", "fox", 7, 0.14),
        Confused("fox", "dog", 5, 0.05),
        Confused("cat", "dog", 2, 0.02),
    ]
    assert worst_pairs(LABELS, MATRIX) == expected
    assert worst_pairs(LABELS, MATRIX, most=2) == expected[:2]
    assert worst_pairs(["background"], [[0]]) == []


def test_labels_that_are_rarely_confused_become_one() -> None:
    labels, matrix = shorten(LABELS, MATRIX, most=2)
    assert labels == ["dog", "fox", "other labels", "background"]
    assert matrix == [[50, 7, 0, 0], [5, 40, 0, 60], [2, 0, 99, 11], [0, 0, 7, 0]]
    assert np.sum(matrix) == np.sum(MATRIX)


def test_a_matrix_of_few_labels_stays_as_it_is() -> None:
    assert shorten(LABELS, MATRIX, most=4) == (LABELS, MATRIX)
