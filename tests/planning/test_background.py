from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.source_factory import image, video

from kfdet.planning.background import (
    SPACING_SECONDS,
    beside,
    candidates,
    deal_background,
    margin_frames,
)
from kfdet.planning.plan import Source

KEYS = range(0, 600, 50)
ALL = ((0, 599),)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# --- near boxes ---


def test_the_margin_is_half_a_second_and_at_least_a_step() -> None:
    assert margin_frames(video(fps=25)) == 13
    assert margin_frames(video(fps=25, step=30)) == 30
    assert margin_frames(image("a.jpg")) == 0


@pytest.mark.parametrize(
    ("first", "end", "margin", "expected"),
    [
        ([], [], 5, []),
        ([10], [20], 0, [10, 15]),
        ([10], [20], 1, [10, 15, 20]),
        ([10], [20], 5, [5, 10, 15, 20]),
        ([10], [10], 5, []),  # it ends before it begins: nothing is seen
        ([4, 21], [7, 22], 1, [5, 20]),
        ([0, 2], [30, 6], 0, [0, 5, 10, 15, 20, 25]),
        ([-9, 24], [1, 90], 0, [0, 25]),
    ],
)
def test_frames_beside_spans(
    first: list[int], end: list[int], margin: int, expected: list[int]
) -> None:
    frames = np.arange(0, 30, 5)
    found = beside(frames, integers(*first), integers(*end), margin)
    assert frames[found].tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 30)), max_size=6),
    st.integers(0, 9),
    st.sets(st.integers(0, 120)),
)
def test_planning_and_mining_see_the_same_frames(
    spans: list[tuple[int, int]], margin: int, used: set[int]
) -> None:
    """Planning knows spans between keys, mining the boxes on every frame of them."""
    frames = integers(*sorted(used))
    first = integers(*(start for start, _ in spans))
    end = first + integers(*(length for _, length in spans))
    every = np.unique(
        np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=True)] or [first])
    )
    planned = beside(frames, first, end, margin)
    assert planned.tolist() == beside(frames, every, every + 1, margin).tolist()


# --- candidates ---


def found(
    source: Source, keys: Sequence[int], busy: range = range(0), step: int = 1
) -> tuple[list[int], list[int]]:
    frames = np.arange(0, source.frames, step)
    return candidates(source, keys, frames, np.isin(frames, busy))


def test_candidates_are_a_second_apart() -> None:
    whole, crops = found(video(train=ALL), KEYS, range(100, 200), 3)
    # 10 frames a second, every 3rd is used; covered until the last key, on 550, less half a second
    assert whole == [*range(0, 100, 12), *range(201, 546, 12)]
    assert crops == [*range(102, 200, 12)]
    assert np.diff(whole).min() >= SPACING_SECONDS * 10


def test_candidates_are_where_training_may_look_and_a_person_did() -> None:
    # between 50 and 350 nobody looked for 30 s: half a second beside it is left out, too
    whole, crops = found(video(train=((40, 99), (300, 400))), [0, 50, 350, 420], range(41, 100))
    assert (whole, crops) == ([40, *range(355, 401, 10)], [41])
    assert found(video(val=ALL), KEYS) == ([], [])
    assert found(video(train=ALL), []) == ([], [])


def test_all_of_a_background_video_is_a_candidate() -> None:
    whole, crops = found(video(train=ALL, background=True), [])
    assert (whole, crops) == ([*range(0, 600, 10)], [])


@pytest.mark.parametrize(
    ("busy", "annotation", "expected"),
    [(0, "i.xml", ([0], [])), (1, "i.xml", ([], [0])), (0, "", ([], []))],
    ids=["reviewed and empty", "with a box", "nobody looked at it"],
)
def test_images(busy: int, annotation: str, expected: tuple[list[int], list[int]]) -> None:
    assert found(image("a.jpg", annotation=annotation), [], range(busy)) == expected


# --- dealing ---

AVAILABLE = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=9)


def limit(whole: np.ndarray, busy: np.ndarray, wanted: int) -> int:
    """Twice the even part of a source that has any background."""
    giving = max(1, int((whole + busy > 0).sum()))
    return -(-2 * wanted // giving)


@given(AVAILABLE, st.integers(0, 300), st.integers(0, 3))
def test_as_many_as_are_wanted_or_as_there_are_under_the_limit(
    available: list[tuple[int, int]], wanted: int, seed: int
) -> None:
    whole, busy = np.array(available, np.int64).T
    frames, crops = deal_background(whole, busy, wanted, seed)
    most = limit(whole, busy, wanted)
    assert (frames >= 0).all()
    assert (crops >= 0).all()
    assert (frames <= whole).all()
    assert (crops <= busy).all()
    assert (frames + crops).max() <= most
    assert (frames + crops).sum() == min(wanted, np.minimum(whole + busy, most).sum())
    assert frames.sum() == min(wanted, np.minimum(whole, most).sum()), "whole frames come first"


@given(AVAILABLE, st.integers(0, 300), st.integers(0, 3))
def test_sources_take_turns(available: list[tuple[int, int]], wanted: int, seed: int) -> None:
    whole, busy = np.array(available, np.int64).T
    frames, _ = deal_background(whole, busy, wanted, seed)
    unfinished = frames[frames < np.minimum(whole, limit(whole, busy, wanted))]
    if len(unfinished):
        assert frames.max() <= unfinished.min() + 1, "nobody gives two more than one who has some"


def test_the_limit_counts_sources_that_have_any_background() -> None:
    whole, busy = integers(60, 0, 0, 0, 0), integers(0, 0, 0, 9, 9)
    frames, crops = deal_background(whole, busy, 12, 0)
    assert frames.tolist() == [8, 0, 0, 0, 0], "twice a third of 12"
    assert sorted(crops.tolist()) == [0, 0, 0, 2, 2]


def test_the_seed_decides_who_gives_one_more() -> None:
    whole, busy = np.full((2, 20), 9)
    dealt = [deal_background(whole, busy, 30, seed)[0].tolist() for seed in (3, 3, 4)]
    assert dealt[0] == dealt[1] != dealt[2]
    assert sorted(dealt[0]) == [1] * 10 + [2] * 10


@pytest.mark.parametrize(("whole", "busy", "wanted"), [([], [], 5), ([0], [0], 5), ([5], [5], 0)])
def test_nothing_to_deal(whole: list[int], busy: list[int], wanted: int) -> None:
    frames, crops = deal_background(integers(*whole), integers(*busy), wanted, 0)
    assert frames.tolist() == crops.tolist() == [0] * len(whole)


def test_what_there_is_stays_as_it_was() -> None:
    whole, busy = integers(3, 4), integers(5, 6)
    deal_background(whole, busy, 100, 0)
    assert (whole.tolist(), busy.tolist()) == ([3, 4], [5, 6])
