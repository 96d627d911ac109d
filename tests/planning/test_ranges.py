from __future__ import annotations

import numpy as np
import pytest

from kfdet.planning.ranges import Ranges, contains, intersect, merge


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([], ()),
        ([(3, 2)], ()),
        ([(5, 5)], ((5, 5),)),
        ([(5, 9), (0, 4)], ((0, 9),)),
        ([(0, 9), (2, 3), (11, 12)], ((0, 9), (11, 12))),
        ([(0, 3), (3, 6), (8, 8)], ((0, 6), (8, 8))),
    ],
)
def test_merge(ranges: list[tuple[int, int]], merged: Ranges) -> None:
    assert merge(ranges) == merged


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ((), ((0, 9),), ()),
        (((0, 9),), (), ()),
        (((0, 4),), ((5, 9),), ()),
        (((0, 4), (8, 12)), ((4, 9),), ((4, 4), (8, 9))),
    ],
)
def test_intersect(a: Ranges, b: Ranges, both: Ranges) -> None:
    assert intersect(a, b) == both == intersect(b, a)


@pytest.mark.parametrize(("ranges", "inside"), [((), []), (((1, 2), (5, 5)), [1, 2, 5])])
def test_contains(ranges: Ranges, inside: list[int]) -> None:
    frames = np.arange(7)
    assert frames[contains(ranges, frames)].tolist() == inside
