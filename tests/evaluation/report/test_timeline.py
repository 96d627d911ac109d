from __future__ import annotations

import pytest

from kfdet.evaluation.report.timeline import Span, shortest_gap_seconds, timelines


def video(train, val, fps=10.0, kind="video"):
    return {
        "name": "a.mp4",
        "kind": kind,
        "fps": fps,
        "frames": 100,
        "train": train,
        "val": val,
        "train_examples": 4,
        "val_examples": 2,
    }


GAPS = [
    ("no video", [], None),
    ("an image", [video([(0, 0)], [], 0.0, "image")], None),
    ("whole videos", [video([(0, 99)], []), video([], [(0, 99)])], None),
    ("a gap of three frames", [video([(0, 79)], [(83, 99)])], 0.3),
    ("on both sides", [video([(0, 39), (65, 99)], [(45, 60)])], 0.4),
    ("the shortest of all", [video([(0, 9)], [(40, 99)]), video([(0, 9)], [(11, 99)], 25.0)], 0.04),
]


@pytest.mark.parametrize(("sources", "expected"), [g[1:] for g in GAPS], ids=[g[0] for g in GAPS])
def test_the_gap_is_that_of_the_split(sources, expected):
    assert shortest_gap_seconds({"sources": sources}) == pytest.approx(expected)


def test_timelines():
    (line,) = timelines(
        {"sources": [video([[50, 99]], [[0, 19]]), video([[0, 0]], [], 0, "image")]}
    )
    assert (line.name, line.frames, line.train, line.val) == ("a.mp4", 100, 4, 2)
    assert line.spans == [Span("val", 0, 20), Span("train", 50, 50)]
