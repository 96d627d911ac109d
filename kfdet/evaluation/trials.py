"""The trainings of a sweep, compared: how good, how fast, how large, and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a sweep.

    Args:
        settings: The parameters in which the trainings differ, as they were used: fitted values in
            place of those that were left open.
        ap50: AP50 of its best weights on the validation side.
        ap: Their AP.
        ms_per_image: Median milliseconds of the exported model for one picture.
        megabytes: Size of the SavedModel.
        minutes: Time of the training.
    """

    settings: dict[str, Any]
    ap50: float
    ap: float
    ms_per_image: float
    megabytes: float
    minutes: float

    def to_dict(self) -> dict[str, Any]:
        """The trial as it stands in sweep.json."""
        return {
            "settings": self.settings,
            "AP50": self.ap50,
            "AP": self.ap,
            "ms_per_image": self.ms_per_image,
            "megabytes": self.megabytes,
            "minutes": self.minutes,
        }


def rank(trials: Sequence[Trial]) -> list[int]:
    """Positions of the trials, the best first: by AP50, of equal ones by AP, then the smaller.

    Not by speed or time, which vary from run to run.
    """
    return sorted(
        range(len(trials)),
        key=lambda i: (-trials[i].ap50, -trials[i].ap, trials[i].megabytes),
    )
