from __future__ import annotations

import numpy as np
import pytest
from support.source_factory import image, video

from kfdet.planning.coverage import covered_ranges, trusted_ranges, visible_ranges
from kfdet.planning.plan import Source
from kfdet.planning.ranges import Ranges


@pytest.mark.parametrize(
    ("source", "keys", "covered"),
    [
        (video(), [], ()),
        (video(background=True), [], ((0, 599),)),
        (video(background=True, start=20), [], ((20, 599),)),
        (video(), [7], ((7, 7),)),
        (video(), [0, 100, 50], ((0, 100),)),
        (video(), [0, 101, 150], ((0, 0), (101, 150))),
        (video(fps=25), [0, 250, 501], ((0, 250), (501, 501))),
        (video(fps=0.1, step=5), [0, 5, 15], ((0, 5), (15, 15))),
        (video(start=20), [0, 10, 30], ((20, 30),)),
        (video(frames=100), [90, 120], ((90, 99),)),
        (image("a.jpg"), [], ((0, 0),)),
        (image("a.jpg"), [0], ((0, 0),)),
        (image("a.jpg", annotation=""), [], ()),
    ],
    ids=[
        "nobody looked",
        "looked at, and without any object",
        "looked at from the task's first frame on",
        "one key",
        "ten seconds apart",
        "more than ten seconds apart",
        "seconds, not frames",
        "neighbours of a slow task",
        "keys before the task",
        "keys after the task",
        "image reviewed and empty",
        "image with a box",
        "image without annotations",
    ],
)
def test_covered_ranges(source: Source, keys: list[int], covered: Ranges) -> None:
    assert covered_ranges(source, keys) == covered


@pytest.mark.parametrize(
    ("covered", "trusted"),
    [
        ((), ()),
        (((0, 599),), ((0, 599),)),
        (((0, 100), (300, 400)), ((0, 95), (305, 395))),
        (((50, 55),), ()),
    ],
)
def test_trusted_ranges_keep_away_from_unlabelled_stretches(
    covered: Ranges, trusted: Ranges
) -> None:
    assert trusted_ranges(video(), covered, 0.5) == trusted


@pytest.mark.parametrize(
    ("spans", "visible"),
    [([], ()), ([(5, 5)], ()), ([(0, 10), (10, 20), (30, 700)], ((0, 19), (30, 599)))],
)
def test_visible_ranges(spans: list[tuple[int, int]], visible: Ranges) -> None:
    first, end = np.array(spans, np.int64).reshape(-1, 2).T
    assert visible_ranges(video(), first, end) == visible
