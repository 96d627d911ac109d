"""The scores from which on a detector is best trusted: found by evaluation, kept with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from kfdet.errors import InputError

THRESHOLDS_FILE = "thresholds.json"
"""Beside the label names: in assets.extra of a SavedModel, in the zip attached to a TFLite file."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Recommended score thresholds, 0 to 1: a detection counts from there on.

    Args:
        overall: The best one over all labels together.
        per_label: Each label's own best one; a label that was never found has none.
    """

    overall: float
    per_label: Mapping[str, float]

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any]) -> Self:
        """The thresholds that a metrics.json names."""
        own = {label: values["threshold"] for label, values in metrics["per_class"].items()}
        found = {label: value for label, value in own.items() if value is not None}
        return cls(metrics["threshold"], found)

    @classmethod
    def parse(cls, text: str | bytes, file: str) -> Self:
        """The thresholds of `to_json`.

        Raises:
            InputError: The text is something else; names `file`.
        """
        try:
            values = json.loads(text)
            own = {str(label): _score(value) for label, value in values["per_label"].items()}
            return cls(_score(values["overall"]), own)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise InputError(
                "the recommended thresholds cannot be read.", file=file, hint="Export again."
            ) from error

    def to_json(self) -> str:
        """The same thresholds, the same text."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    def __str__(self) -> str:
        return f"{self.overall:.2f}"


def _score(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a score must be 0 to 1")
    return float(value)
