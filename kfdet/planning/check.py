"""A dataset's problems, beside its contents and the split that a run would make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.label_checks import mirrored_labels
from kfdet.dataset.loading import Dataset, load
from kfdet.dataset.several import ALONE
from kfdet.errors import InputError, Problem
from kfdet.parameters import DEFAULTS, DatasetSettings, Parameters
from kfdet.planning.plan import SIDES
from kfdet.planning.planner import split_inputs
from kfdet.planning.ranges import contains
from kfdet.planning.sides import Sides, SplitInput
from kfdet.planning.split import split
from kfdet.planning.summary import SourceSummary, SplitSummary, Summary, count, describe_split


@dataclass(frozen=True, slots=True, repr=False)
class Check:
    """The result of `check`; as text, what `kfdet check` prints.

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

    @property
    def description(self) -> str:
        """Contents, split, and the number of problems as a person reads them."""
        lines = [str(self.summary)]
        if self.split:
            lines.append(describe_split(self.split, self.summary))
        errors = len(self.errors)
        warnings = len(self.problems) - errors
        return "\n".join([*lines, f"{count(errors, 'error')}, {count(warnings, 'warning')}"])

    def __str__(self) -> str:
        problems = [f"{problem.severity}: {problem}" for problem in self.problems]
        return "\n".join([*problems, self.description])

    __repr__ = __str__
    """What a notebook shows of the last value of a cell."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types: summary, split, problems."""
        return asdict(self)


def check(folder: Path, parameters: Parameters = DEFAULTS, parts: Sequence[str] = ALONE) -> Check:
    """Check a dataset as a run does before it starts.

    Args:
        folder: The dataset.
        parameters: Those of the run; only frame rate, choice, split and seed matter.
        parts: Folders of several datasets in `folder` (see `kfdet.dataset.loading.load`).

    Raises:
        InputError: The folder is missing or holds no video and no image.
    """
    dataset = load(folder, parameters.part(DatasetSettings), parts)
    problems = list(dataset.problems)
    problems += [
        Problem("warning", text) for text in mirrored_labels(dataset.labels, parameters.mirror)
    ]
    inputs: list[SplitInput] = []
    sides: dict[str, Sides] = {}
    how = None
    sound = not any(problem.severity == "error" for problem in problems)
    try:
        inputs, _ = split_inputs(dataset, parameters)
    except InputError as error:  # images, whatever else is wrong
        problems.append(_problem(error))
        sound = False
    try:
        if sound:
            how, sides, warnings = split(
                inputs,
                dataset.labels,
                val_share=parameters.val_share,
                guard_seconds=parameters.guard_seconds,
                seed=parameters.seed,
            )
            problems += [Problem("warning", warning) for warning in warnings]
    except InputError as error:
        problems.append(_problem(error))
    if how is None:
        return Check(tuple(problems), _summarize(dataset, inputs, {}), None)
    (train, train_empty), (val, val_empty), (test, test_empty) = (
        _frames(inputs, sides, side) for side in SIDES
    )
    planned = SplitSummary(
        how.strategy,
        train,
        val,
        train_empty,
        val_empty,
        how.gap_seconds,
        test,
        test_empty,
        dataset.sides_from,
    )
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
    seen = [(item.name, key) for item in dataset.items for key in item.keys if not key.outside]
    drawn = [(name, key) for name, key in seen if not key.crowd]
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
                int(contains(side.test, one.frames).sum()) if one else 0,
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
        difficult=sum(key.difficult for _, key in drawn),
        ignored=len(seen) - len(drawn),
        choices=dataset.choices,
    )
