from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kfdet.errors import InputError
from kfdet.records import merging
from kfdet.records.merging import kept_examples


def examples(*rows: tuple[str, str, bool]) -> pa.Table:
    split, kind, measured = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {
        "source_id": pa.array(range(1, len(rows) + 1), pa.int64()),
        "split": pa.array(split, pa.string()),
        "kind": pa.array(kind, pa.string()),
        "measured": pa.array(measured, pa.bool_()),
    }
    return pa.table(columns)


TRAIN = [("train", "frame", False), ("train", "background", False)]
VAL = [("val", "frame", True), ("val", "background", True)]
TEST = [("test", "frame", True)]


def kept(*rows: tuple[str, str, bool], trains: bool = True, tests: bool = False) -> list[int]:
    found: list[int] = kept_examples(examples(*rows), trains=trains, tests=tests).tolist()
    return sorted(found)


def test_small_datasets_keep_everything() -> None:
    assert kept(*TRAIN, *VAL) == [1, 2, 3, 4]
    assert kept(*TRAIN, *VAL, *TEST, tests=True) == [1, 2, 3, 4, 5]
    assert kept(*VAL, trains=False) == [1, 2], "a model may only be measured"


def test_a_measuring_side_is_capped_and_truth_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_MEASURED", 10)
    side = [("val", "frame", i % 5 == 0) for i in range(30)]
    train = TRAIN * 20
    found = [number - len(train) - 1 for number in kept(*train, *side)[len(train) :]]
    truth = {*range(0, 30, 5)}
    assert len(found) == 10
    assert truth <= set(found), "all of it"
    rest = sorted(set(found) - truth)
    assert np.diff([-1, *rest, 30]).max() <= 9, "the others are spread evenly"


@pytest.mark.parametrize("side", ["val", "test"])
def test_more_truth_than_there_is_room_for_is_spread_evenly(
    monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    monkeypatch.setattr(merging, "MOST_MEASURED", 10)
    long = [(side, "frame", i % 2 == 0) for i in range(200)]
    other = VAL if side == "test" else TEST
    found = kept(*TRAIN, *other, *long, tests=True)
    positions = np.array([n - 1 - len(TRAIN + other) for n in found[len(TRAIN + other) :]])
    assert len(positions) == 10
    assert (positions % 2 == 0).all(), "nothing but truth"
    assert np.diff(positions).tolist() == [20] * 9


def test_pieces_are_one_table() -> None:
    whole = examples(*TRAIN, *VAL)
    cut = pa.concat_tables([whole.slice(i, 1) for i in range(4)])
    assert kept_examples(cut, trains=True, tests=False).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no training picture with a box.*lower val_share"),
        (TRAIN[1:] + VAL + TEST, "no training picture with a box.*lower val_share"),
        (TRAIN + VAL[1:] + TEST, "no validation picture with a box.*raise val_share"),
        (TRAIN + VAL, "no test picture with a box.*choose a larger test side"),
    ],
)
def test_a_side_needs_a_picture_with_a_box(rows: list[tuple[str, str, bool]], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        kept(*rows, tests=True)
