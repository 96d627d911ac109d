"""The curves of a training run, kept beside its checkpoints so that a resumed run continues it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeFloat

from kfdet.dataset.formats.limits import MAX_ID
from kfdet.files import REMAKE, atomic_file, read_json_as

_Step = Annotated[int, Field(ge=0, le=MAX_ID)]
HISTORY_FILE = "history.json"
START_FILE = "start.json"
"""The history as it was before the first step. A checkpoint may be copied to a bucket before the
history that belongs to it; this file is there before any checkpoint."""

_EQUAL = 0.01
"""A difference in AP that a few dozen validation pictures make by chance."""


def _measured(value: dict[str, float]) -> dict[str, float]:
    if not {"step", "AP", "AP50"} <= value.keys():
        raise ValueError("step, AP or AP50 is missing")
    return value


def _fitted(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("steps", 0), int):
        raise ValueError("steps should be a number")
    return value


@dataclass
class History:
    """Curves of one run.

    Args:
        steps: Steps at which the loss was recorded.
        loss: Mean training loss since the previous recorded step.
        learning_rate: Learning rate at that step.
        val: One {"step", "AP", "AP50", "AP75"} per validation.
        network: The network's name.
        parameters: What the run used, fitted values included.
        seconds: Training time so far, over all resumed parts.
        stopped_early: Why training stopped before its last step, "" if it did not.
        out_of_time: Whether it stopped because its deadline was reached.
        continued_from: Step at which it took over from a shorter training, 0 if it did not.
        start: What it started from, as `kfdet.training.start.Start.record` gives it.
    """

    steps: list[_Step] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    val: list[Annotated[dict[str, float], AfterValidator(_measured)]] = field(default_factory=list)
    network: str = ""
    parameters: Annotated[dict[str, Any], AfterValidator(_fitted)] = field(default_factory=dict)
    seconds: NonNegativeFloat = 0.0
    stopped_early: str = ""
    out_of_time: bool = False
    continued_from: _Step = 0
    start: dict[str, Any] = field(default_factory=dict)

    def truncate(self, step: int) -> None:
        """Forget what came after `step`, the step of the checkpoint that was restored."""
        kept = sum(s <= step for s in self.steps)
        del self.steps[kept:], self.loss[kept:], self.learning_rate[kept:]
        self.val = [v for v in self.val if v["step"] <= step]

    def validated(self, step: int) -> bool:
        """Whether there is a validation at `step`."""
        return any(v["step"] == step for v in self.val)

    def best(self) -> dict[str, float] | None:
        """The last validation whose AP comes within 0.01 of the highest; None before the first one.

        AP and not AP50, which says nothing of how well the boxes sit and varies more with few
        pictures. The last, because the schedule ends with small steps: weights that measure alike
        have learned for longer.
        """
        return next((v for v in reversed(self.val) if self.is_best(v["AP"])), None)

    def is_best(self, ap: float) -> bool:
        """Whether a validation with this AP, if it were the last, would be the best one."""
        return all(ap >= v["AP"] - _EQUAL for v in self.val)

    def validations_without_gain(self) -> int:
        """Validations since AP last rose, or since this training took over from a shorter one."""
        rose = max(self.val, key=lambda v: (v["AP"], -v["step"]), default=None)
        if rose is None:
            return 0
        since = max(rose["step"], self.continued_from)
        return sum(v["step"] > since for v in self.val)

    def begin(self, folder: Path) -> None:
        """Write start.json and history.json into `folder`, before there is a checkpoint."""
        self._write(folder / START_FILE)
        self.write(folder)

    def write(self, folder: Path) -> None:
        """Write history.json into `folder`, whole or not at all."""
        self._write(folder / HISTORY_FILE)

    def _write(self, target: Path) -> None:
        with atomic_file(target) as path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_history(folder: Path) -> History:
    """The history in `folder`, else how it began, else a new one.

    Raises:
        InputError: It is damaged.
    """
    for name in (HISTORY_FILE, START_FILE):
        if (folder / name).exists():
            return read_json_as(folder / name, History, hint=REMAKE)
    return History()
