"""What a dataset holds, and the split that a run would make of it: as values, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.cells import cell_len, set_cell_size

from kfdet.errors import some
from kfdet.planning.sides import Strategy

_MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One video or image.

    Args:
        name: Path relative to the dataset.
        kind: "video" or "image".
        frames: Frames in the file.
        boxes: Boxes that a person drew.
        annotated_frames: Frames with boxes or that a person has looked at.
        background: A video that was annotated without a single box.
        train_frames: Frames that a run would train on; 0 where there is no split.
        val_frames: Frames that a run would validate with.
        test_frames: Frames that a run would measure its result with.
    """

    name: str
    kind: str
    frames: int
    boxes: int
    annotated_frames: int
    background: bool
    train_frames: int
    val_frames: int
    test_frames: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """The contents of a dataset.

    Args:
        videos: Number of videos that can be read.
        images: Number of images that can be read.
        frames: Frames of all videos.
        seconds: Length of all videos.
        annotated_frames: Frames of videos with boxes or that a person has looked at.
        labels: Boxes that a person drew, by label.
        tracks: Number of tracks.
        sources: Every video and image.
        difficult: Boxes that train and are not scored; `labels` counts them, too.
        ignored: Boxes around what is neither learned nor counted.
        choices: What each dataset.yaml and the options say, as a person reads it.
    """

    videos: int
    images: int
    frames: int
    seconds: float
    annotated_frames: int
    labels: dict[str, int]
    tracks: int
    sources: tuple[SourceSummary, ...]
    difficult: int = 0
    ignored: int = 0
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines, contents = [], []
        if self.videos:
            length = timedelta(seconds=round(self.seconds))
            contents.append(
                f"{count(self.videos, 'video')} ({count(self.frames, 'frame')}, {length})"
            )
        if self.images:
            contents.append(count(self.images, "image"))
        lines.append(", ".join(contents))
        if self.labels:
            labels = ", ".join(f"{label} {number}" for label, number in self.labels.items())
            tracks = f" (in {count(self.tracks, 'track')})" if self.tracks else ""
            lines.append(f"Boxes drawn by a person{tracks}: {labels}")
        if self.difficult:
            lines.append(f"Learned but not scored: {count(self.difficult, 'difficult box')}")
        if self.ignored:
            lines.append(f"Neither learned nor counted: {count(self.ignored, 'box')}")
        lines += self.choices
        if self.frames:
            share = self.annotated_frames / self.frames
            lines.append(f"Annotated: {self.annotated_frames} frames of videos ({share:.0%})")
        background = [source.name for source in self.sources if source.background]
        if background:
            lines.append(f"Background, annotated without a single box: {some(background)}")
        videos = [source for source in self.sources if source.kind == "video"]
        if any(s.train_frames or s.val_frames or s.test_frames for s in videos):
            lines += _table(videos[:_MOST_ROWS])
            if len(videos) > _MOST_ROWS:
                lines.append(f"... and {len(videos) - _MOST_ROWS} more videos")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """The split that a run with these parameters would make.

    Args:
        strategy: What changes sides as a whole: videos, blocks of videos, or images; "own" where
            the dataset states the sides.
        train_frames: Frames and images on the training side, at the run's frame rate.
        val_frames: Frames and images on the validation side.
        train_background: Those of the training side without any object.
        val_background: Those of the validation side without any object.
        gap_seconds: Shortest gap between the two sides of one video; None where none is cut.
        test_frames: Frames and images on the test side.
        test_background: Those of the test side without any object.
        sides_from: What states sides, as a person reads it; "" where nothing does.
    """

    strategy: Strategy
    train_frames: int
    val_frames: int
    train_background: int
    val_background: int
    gap_seconds: float | None
    test_frames: int = 0
    test_background: int = 0
    sides_from: str = ""


def describe_split(split: SplitSummary, summary: Summary) -> str:
    """The split of a dataset as a sentence."""
    how = {
        "video": "whole videos are kept for evaluation",
        "time-block": "a stretch of each video is kept for evaluation",
        "image": "images are kept for evaluation",
        "own": f"the sides are those of {split.sides_from}",
    }[split.strategy]
    if split.test_frames and split.strategy != "own":
        how += f"; the test side is that of {split.sides_from}"
    noun = "frame" if not summary.images else "picture" if summary.videos else "image"
    gap = "" if split.gap_seconds is None else f", with a gap of {split.gap_seconds:.1f} s"
    if gap and split.strategy not in ("time-block", "own"):
        gap = f", and a stretch of a video without objects{gap}"
    verbs = [
        ("train on", split.train_frames, split.train_background),
        ("evaluate on", split.val_frames, split.val_background),
    ]
    if split.test_frames:
        verbs[1] = ("validate on", split.val_frames, split.val_background)
        verbs.append(("measure the result on", split.test_frames, split.test_background))
    *sides, last = (
        f"{verb} {count(frames, noun)}" + (f" ({empty} without an object)" if empty else "")
        for verb, frames, empty in verbs
    )
    return f"A run would {', '.join(sides)} and {last}: {how}{gap}"


def count(number: int, noun: str) -> str:
    """A number of things, as a person reads it."""
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _table(videos: Sequence[SourceSummary]) -> list[str]:
    """One line per video below a heading; the numbers end below each other."""
    columns: list[list[str]] = [
        ["video", *(video.name for video in videos)],
        ["frames", *(str(video.frames) for video in videos)],
        ["boxes", *(str(video.boxes) for video in videos)],
        ["training", *(str(video.train_frames) for video in videos)],
        ["evaluation", *(str(video.val_frames) for video in videos)],
    ]
    if any(video.test_frames for video in videos):
        columns.append(["test", *(str(video.test_frames) for video in videos)])
    widths = [max(map(cell_len, column)) for column in columns]
    lines = []
    for name, *numbers in zip(*columns, strict=True):
        cells = [set_cell_size(name, widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return lines
