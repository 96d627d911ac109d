from __future__ import annotations

import pytest

from kfdet.planning.summary import SourceSummary, SplitSummary, Summary, describe_split


def video(name: str, boxes: int = 20) -> SourceSummary:
    return SourceSummary(name, "video", 100, boxes, 100, boxes == 0, 80, 20)


def test_contents_as_text() -> None:
    sources = (video("a.mp4"), video("long-名.mp4", 7), video("empty.mp4", 0))
    summary = Summary(3, 1, 300, 61.0, 150, {"[b]cup": 27}, 1, sources)
    assert str(summary).splitlines() == [
        "3 videos (300 frames, 0:01:01), 1 image",
        "Boxes drawn by a person (in 1 track): [b]cup 27",
        "Annotated: 150 frames of videos (50%)",
        "Background, annotated without a single box: empty.mp4",
        "video        frames  boxes  training  evaluation",
        "a.mp4           100     20        80          20",
        "long-名.mp4     100      7        80          20",
        "empty.mp4       100      0        80          20",
    ]


def test_many_videos_are_cut() -> None:
    sources = tuple(video(f"{number}.mp4", 0) for number in range(25))
    lines = str(Summary(25, 0, 2500, 100.0, 2500, {}, 0, sources)).splitlines()
    assert lines[2].endswith("0.mp4, 1.mp4, 2.mp4 and 22 more")
    assert len(lines) == 3 + 1 + 20 + 1
    assert lines[-1] == "... and 5 more videos"


@pytest.mark.parametrize(
    ("split", "images", "text"),
    [
        (
            SplitSummary("video", 1, 20, 0, 5, None),
            0,
            "train on 1 frame and evaluate on 20 frames (5 without an object): "
            "whole videos are kept for evaluation",
        ),
        (
            SplitSummary("time-block", 80, 20, 0, 0, 3.0),
            0,
            "train on 80 frames and evaluate on 20 frames: "
            "a stretch of each video is kept for evaluation, with a gap of 3.0 s",
        ),
        (
            SplitSummary("image", 80, 20, 0, 0, 3.0),
            4,
            "train on 80 pictures and evaluate on 20 pictures: images are kept for evaluation, "
            "and a stretch of a video without objects, with a gap of 3.0 s",
        ),
    ],
)
def test_a_split_as_text(split: SplitSummary, images: int, text: str) -> None:
    summary = Summary(1, images, 100, 1.0, 100, {}, 0, ())
    assert describe_split(split, summary) == f"A run would {text}"
