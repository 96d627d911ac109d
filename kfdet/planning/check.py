"""A dataset's problems, its contents, and the split that a run would make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.loading import Dataset, load
from kfdet.errors import InputError, Problem
from kfdet.parameters import DEFAULTS, Parameters
from kfdet.planning.planner import split_inputs
from kfdet.planning.ranges import contains
from kfdet.planning.split import Sides, SplitInput, Strategy, split


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
    """

    name: str
    kind: str
    frames: int
    boxes: int
    annotated_frames: int
    background: bool
    train_frames: int
    val_frames: int


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
    """

    videos: int
    images: int
    frames: int
    seconds: float
    annotated_frames: int
    labels: dict[str, int]
    tracks: int
    sources: tuple[SourceSummary, ...]


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """The split that a run with these parameters would make.

    Args:
        strategy: What changes sides as a whole: videos, blocks of videos, or images.
        train_frames: Frames and images on the training side, at the run's frame rate.
        val_frames: Frames and images on the validation side.
        train_background: Those of the training side without any object.
        val_background: Those of the validation side without any object.
        gap_seconds: Shortest gap between the two sides of one video; None where none is cut.
    """

    strategy: Strategy
    train_frames: int
    val_frames: int
    train_background: int
    val_background: int
    gap_seconds: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """The result of `check`.

    Args:
        problems: Errors, which stop a run, and warnings, which do not; those of the whole dataset
            first, then by file, line and frame.
        summary: What the dataset holds.
        split: The split that a run would make; None where errors leave none.
    """

    problems: tuple[Problem, ...]
    summary: Summary
    split: SplitSummary | None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop a run."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types: summary, split, problems."""
        return asdict(self)


def check(folder: Path, parameters: Parameters = DEFAULTS) -> Check:
    """Check a dataset as a run does before it starts.

    Args:
        folder: The dataset.
        parameters: Those of the run; only frame rate, split and seed matter.

    Raises:
        InputError: The folder is missing or holds no video and no image.
    """
    dataset = load(folder)
    problems = list(dataset.problems)
    inputs: list[SplitInput] = []
    sides: dict[str, Sides] = {}
    how = None
    try:
        inputs, _ = split_inputs(dataset, parameters)
        if not any(problem.severity == "error" for problem in problems):
            how, sides, warnings = split(
                inputs,
                dataset.labels,
                val_share=parameters.val_share,
                guard_seconds=parameters.guard_seconds,
                seed=parameters.seed,
            )
            problems += [Problem("warning", warning) for warning in warnings]
    except InputError as error:
        if not any(problem.severity == "error" for problem in problems):
            problems.append(_problem(error))
    if how is None:
        return Check(tuple(problems), _summarize(dataset, inputs, {}), None)
    (train, train_empty), (val, val_empty) = (_frames(inputs, sides, s) for s in ("train", "val"))
    planned = SplitSummary(how.strategy, train, val, train_empty, val_empty, how.gap_seconds)
    return Check(tuple(problems), _summarize(dataset, inputs, sides), planned)


def _problem(error: InputError) -> Problem:
    return Problem("error", error.problem, error.file, error.line, error.frame, error.hint)


def _frames(inputs: Sequence[SplitInput], sides: dict[str, Sides], side: str) -> tuple[int, int]:
    """Frames on one side, and those of them without any box."""
    total = empty = 0
    for one in inputs:
        chosen = contains(getattr(sides[one.source.name], side), one.frames)
        total += int(chosen.sum())
        empty += int((one.boxes[chosen].sum(axis=1) == 0).sum())
    return total, empty


def _summarize(dataset: Dataset, inputs: Sequence[SplitInput], sides: dict[str, Sides]) -> Summary:
    by_name = {one.source.name: one for one in inputs}
    videos = [item for item in dataset.items if item.kind == "video"]
    drawn = [(item.name, key) for item in dataset.items for key in item.keys if not key.outside]
    boxes = Counter(name for name, _ in drawn)
    labels = Counter(key.label for _, key in drawn)
    sources = []
    for item in dataset.items:
        one, side = by_name.get(item.name), sides.get(item.name, Sides())
        usable = one.usable if one else ()
        sources.append(
            SourceSummary(
                item.name,
                item.kind,
                item.frames,
                boxes[item.name],
                sum(last - first + 1 for first, last in usable),
                item.background,
                int(contains(side.train, one.frames).sum()) if one else 0,
                int(contains(side.val, one.frames).sum()) if one else 0,
            )
        )
    return Summary(
        videos=len(videos),
        images=len(dataset.items) - len(videos),
        frames=sum(item.frames for item in videos),
        seconds=round(sum(item.frames / item.fps for item in videos if item.fps), 3),
        annotated_frames=sum(s.annotated_frames for s in sources if s.kind == "video"),
        labels=dict(sorted(labels.items())),
        tracks=len({(name, key.track_id) for name, key in drawn if key.track_id != UNTRACKED}),
        sources=tuple(sources),
    )
