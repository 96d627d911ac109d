from __future__ import annotations

from typing import Any

import pytest

from kfdet.errors import InputError
from kfdet.planning.plan import Source
from kfdet.planning.sampling import select_frames, thin


def _source(**changes: Any) -> Source:
    values: dict[str, Any] = {
        "name": "a.mp4",
        "kind": "video",
        "annotation": "a.xml",
        "width": 64,
        "height": 48,
        "frames": 100,
        "fps": 25.0,
        "start": 0,
        "stop": 99,
        "step": 1,
        "train": ((0, 99),),
    }
    return Source(**values | changes)


@pytest.mark.parametrize(
    ("source", "keys", "frame_rate", "every", "frames"),
    [
        (_source(train=()), [3], 10, 0, []),
        (_source(train=((0, 9),)), [], 25, 0, list(range(10))),
        (_source(train=((0, 9),)), [], 100, 0, list(range(10))),
        (_source(train=((0, 10),)), [], 10, 0, [0, 2, 5, 7, 10]),
        (_source(train=((0, 10),)), [], 10, 1, list(range(11))),
        (_source(train=((0, 10),)), [], 10, 4, [0, 4, 8]),
        (_source(train=((0, 10),)), [3, 50], 10, 4, [0, 3, 4, 8]),
        (_source(train=((0, 3),), val=((8, 9),)), [5], 25, 0, [0, 1, 2, 3, 8, 9]),
        # On the task's grid, counted from its start, whatever the ranges.
        (_source(start=3, step=5, stop=28, train=((10, 30),)), [], 100, 0, [13, 18, 23, 28]),
        (_source(start=3, step=5, stop=28, train=((10, 30),)), [], 10, 2, [13, 23]),
        # Five frames a second are left by the step alone.
        (_source(step=5, train=((0, 20),)), [], 10, 0, [0, 5, 10, 15, 20]),
        # The file is shorter than the task says.
        (_source(frames=4), [3, 60], 25, 0, [0, 1, 2, 3]),
        (_source(kind="image", frames=1, fps=0.0, stop=0, train=((0, 0),)), [0], 10, 0, [0]),
        (_source(kind="image", frames=1, fps=0.0, stop=0, train=(), val=((0, 0),)), [], 1, 0, [0]),
    ],
)
def test_select_frames(
    source: Source, keys: list[int], frame_rate: float, every: int, frames: list[int]
) -> None:
    selected = select_frames(source, keys, frame_rate, every)
    assert selected.dtype == "int64"
    assert selected.tolist() == frames


@pytest.mark.parametrize(
    ("count", "fps", "rate", "left"),
    [
        (0, 30, 10, 0),
        (1, 30, 10, 1),
        (300, 30, 10, 100),
        (300, 29.97, 29.97, 300),
        (300, 15, 10, 200),
    ],
)
def test_thin_meets_the_rate(count: int, fps: float, rate: float, left: int) -> None:
    positions = thin(count, fps, rate, 0)
    assert len(set(positions.tolist())) == len(positions) == left


@pytest.mark.parametrize(("rate", "every"), [(0, 0), (-1, 0), (float("nan"), 0), (10, -2)])
def test_senseless_rate_is_refused(rate: float, every: int) -> None:
    with pytest.raises(InputError):
        select_frames(_source(), [], rate, every)
