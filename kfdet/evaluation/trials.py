"""The trainings of a sweep, compared: how good, how fast, how large, and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kfdet.errors import some
from kfdet.evaluation.comparison import compare
from kfdet.evaluation.measurement import Measurement

_NAMED = 5
"""Settings in a sentence."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a sweep.

    Args:
        settings: The parameters in which the trainings differ, as they were used: fitted values in
            place of those that were left open.
        AP50: AP50 of the exported model on the validation side.
        AP: Its AP.
        ms_per_image: Median milliseconds of the exported model for one picture.
        megabytes: Size of the SavedModel.
        minutes: Time of the training.
        difference: Its AP50 less that of the chosen one; None for that one.
        interval: Where the difference lies with a probability of 90 %; None with too few videos or
            stretches of time.
    """

    settings: dict[str, Any]
    AP50: float
    AP: float
    ms_per_image: float
    megabytes: float
    minutes: float
    difference: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def as_good(self) -> bool:
        """Whether it cannot be told from the chosen one."""
        return self.interval is not None and self.interval[1] >= 0


def rank(trials: Sequence[Trial]) -> list[int]:
    """Positions of the trials, the best first: by AP50, of equal ones by AP, then the smaller.

    Not by speed or time, which vary from run to run.
    """
    return sorted(
        range(len(trials)),
        key=lambda i: (-trials[i].AP50, -trials[i].AP, trials[i].megabytes),
    )


def order(
    found: Sequence[tuple[Trial, Measurement]], labels: Sequence[str], first: int | None
) -> list[int]:
    """Positions of the trials: the chosen one, then the others, the best first.

    The best one is chosen, unless it cannot be told from the one that the grid names first, as
    `--promote better` keeps the model that serves. With too little truth to tell, the best one is.

    Args:
        found: The trials, each with what was measured on the validation side.
        labels: Label names.
        first: Position of the one that the grid names first; None: there is no such order.
    """
    ranked = rank([trial for trial, _ in found])
    if first is None:
        return ranked
    _, interval = _difference(found[ranked[0]][1], found[first][1], labels)
    if interval is None or interval[0] > 0:
        return ranked
    return [first, *(i for i in ranked if i != first)]


def compared(ordered: Sequence[tuple[Trial, Measurement]], labels: Sequence[str]) -> list[Trial]:
    """The trials with how far each is from the first, by a paired bootstrap (see `compare`).

    Args:
        ordered: At least one, the chosen one first, each with what was measured of it.
        labels: Label names.
    """
    (chosen, measured), *others = ordered
    found = [(trial, *_difference(each, measured, labels)) for trial, each in others]
    return [
        chosen,
        *(
            replace(trial, difference=difference, interval=interval)
            for trial, difference, interval in found
        ),
    ]


def _difference(
    measured: Measurement, other: Measurement, labels: Sequence[str]
) -> tuple[float | None, tuple[float, float] | None]:
    found = compare(measured, other, labels, None, None, against="", seed=0)
    return found.difference, found.interval


def explain(trials: Sequence[Trial], pictures: int) -> str:
    """Why the first trial is chosen, and how sure that is, as sentences.

    Args:
        trials: As `compared` gives them.
        pictures: How many validation pictures measured them.
    """
    unit = "picture" if pictures == 1 else "pictures"
    highest = max(range(len(trials)), key=lambda i: trials[i].AP50)  # of equal ones the first
    text = f"Setting {highest + 1} has the highest AP50 on {pictures:,} validation {unit}."
    if any(trial.interval is None for trial in trials[1:]):
        return f"{text} There is too little truth to say how sure that is."
    if highest:
        return (
            f"{text} But that may be chance, so setting 1 is chosen, which the grid names first. "
            "To prefer another one, name it first."
        )
    alike = [str(number) for number, trial in enumerate(trials, start=1) if trial.as_good]
    if not alike:
        return f"{text} On pictures like these, each of the others is worse (probability 95%)."
    return (
        f"{text} But settings {some(['1', *alike], _NAMED)} cannot be told apart: the differences "
        "may be chance. Take the one that costs least, or add validation pictures."
    )
