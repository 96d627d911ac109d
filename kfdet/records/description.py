"""What a reader of dataset.json may rely on; `kfdet.records.statistics` says what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt

from kfdet.dataset.formats.limits import MAX_LABEL_LENGTH, MAX_LABELS
from kfdet.files import read_document
from kfdet.planning.plan import FrameRange

DATASET_FILE = "dataset.json"
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


def read_description(folder: Path) -> dict[str, Any]:
    """The content of dataset.json in a folder of records.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(folder / DATASET_FILE, _Description, hint="Build the records again.")


def _complete(values: dict[str, float]) -> dict[str, float]:
    if values and not {str(each) for each in PERCENTILES} <= values.keys():
        raise ValueError("a percentile is missing")
    return values


_Percentiles = Annotated[dict[str, float], AfterValidator(_complete)]
_Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH)]


@dataclass(frozen=True, slots=True)
class _Split:
    strategy: str
    seed: NonNegativeInt
    val_share: Annotated[float, Field(ge=0, le=1)]
    train_frames: NonNegativeInt
    val_frames: NonNegativeInt
    train_sources: list[str]
    test_frames: NonNegativeInt = 0
    sides_from: str = ""


@dataclass(frozen=True, slots=True)
class _Counts:
    examples: NonNegativeInt
    frame: NonNegativeInt
    background: NonNegativeInt
    crop: NonNegativeInt
    boxes: NonNegativeInt
    key_boxes: NonNegativeInt
    interpolated_boxes: NonNegativeInt
    occluded_boxes: NonNegativeInt
    tracks: NonNegativeInt
    labels: dict[str, NonNegativeInt]


@dataclass(frozen=True, slots=True)
class _Sides:
    train: _Counts
    val: _Counts
    test: _Counts | None = None


@dataclass(frozen=True, slots=True)
class _Boxes:
    width: _Percentiles
    height: _Percentiles
    area: _Percentiles
    aspect: _Percentiles
    boxes_per_image: _Percentiles


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    kind: Literal["video", "image"]
    frames: NonNegativeInt
    fps: NonNegativeFloat
    train: list[FrameRange]
    val: list[FrameRange]
    train_examples: NonNegativeInt
    val_examples: NonNegativeInt


@dataclass(frozen=True, slots=True)
class _Sample:
    file: str
    split: Literal["train", "val", "test"]
    kind: Literal["frame", "background", "crop"]
    video: str
    frame: NonNegativeInt


@dataclass(frozen=True, slots=True)
class _Description:
    labels: Annotated[list[_Label], Field(max_length=MAX_LABELS)]
    split: _Split
    counts: _Sides
    boxes: _Boxes
    sources: list[_Source]
    name: str = ""
    samples: list[_Sample] | None = None
