"""What a reader of metrics.json may rely on; `kfdet.evaluation.metrics` says what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt

from kfdet.files import read_document

_Share = Annotated[float, Field(ge=0, le=1)]
_Figure = _Share | None


def read_metrics(path: Path, *, hint: str = "") -> dict[str, Any]:
    """The content of a metrics.json.

    Args:
        path: The file, whatever its name is.
        hint: What a user can do about a damaged file.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(path, _Metrics, hint=hint)


@dataclass(frozen=True, slots=True)
class _Label:
    AP: _Figure
    AP50: _Figure
    precision: _Figure
    recall: _Figure
    threshold: _Figure


@dataclass(frozen=True, slots=True)
class _Video:
    AP50: _Figure
    frames: NonNegativeInt
    boxes: NonNegativeInt
    missed: NonNegativeInt
    false_positives: NonNegativeInt


@dataclass(frozen=True, slots=True)
class _Split:
    strategy: str


@dataclass(frozen=True, slots=True)
class _Truth:
    frames: NonNegativeInt
    boxes: NonNegativeInt
    AP50_interval: tuple[_Share, _Share] | None


@dataclass(frozen=True, slots=True)
class _Comparison:
    against: str


@dataclass(frozen=True, slots=True)
class _Metrics:
    AP: _Figure
    AP50: _Figure
    precision: _Figure
    recall: _Figure
    threshold: _Share
    per_class: dict[str, _Label]
    split: _Split
    truth: _Truth
    verdict: bool
    verdict_reasons: list[str]
    per_video: dict[str, _Video] = field(default_factory=dict)
    comparison: _Comparison | None = None
