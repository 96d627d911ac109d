"""Which stretches of each video training and evaluation saw, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a video's timeline: "train" or "val"; start and width are shares of 0..100."""

    kind: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened to the frames of one video."""

    name: str
    frames: int
    train: int
    val: int
    spans: list[Span]


def timelines(statistics: Mapping[str, Any]) -> list[Timeline]:
    """The timeline of every video.

    Args:
        statistics: dataset.json of the records.
    """
    made = []
    for source in _videos(statistics):
        total = max(1, source["frames"])
        spans = [
            Span(kind, 100 * first / total, 100 * (last - first + 1) / total)
            for kind in ("train", "val")
            for first, last in source[kind]
        ]
        made.append(
            Timeline(
                source["name"],
                source["frames"],
                source["train_examples"],
                source["val_examples"],
                sorted(spans, key=lambda span: span.start),
            )
        )
    return made


def shortest_gap_seconds(statistics: Mapping[str, Any]) -> float | None:
    """Shortest time between a training and an evaluation stretch of one video, in seconds.

    This is the gap that the split made, which is shorter than the parameter in short videos; None
    where no video is on both sides.

    Args:
        statistics: dataset.json of the records.
    """
    gaps = [
        (max(val[0], train[0]) - min(val[1], train[1]) - 1) / source["fps"]
        for source in _videos(statistics)
        for train in source["train"]
        for val in source["val"]
    ]
    return min(gaps, default=None)


def _videos(statistics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [source for source in statistics["sources"] if source["kind"] == "video"]
