"""The plan: what a run will do with each video and image, decided before anything slow starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kfdet.files import read_json_object

FrameRange = tuple[int, int]
"""First and last frame, both inclusive."""


@dataclass(frozen=True, slots=True)
class Source:
    """One video or image of the dataset and its share of the split.

    Args:
        name: Path relative to the dataset, with forward slashes; unique; `video` in the box tables.
        kind: What the file is.
        annotation: Path of the annotation file relative to the dataset.
        width: Displayed width in pixels (after rotation metadata).
        height: Displayed height in pixels.
        frames: Frames in the file (1 for an image).
        fps: Frames a second (0 for an image).
        start: First annotated-task frame of the source video.
        stop: Last annotated-task frame, inclusive.
        step: Distance between task frames in source frames.
        train: Frame ranges that training may see.
        val: Frame ranges that only evaluation sees.
    """

    name: str
    kind: Literal["video", "image"]
    annotation: str
    width: int
    height: int
    frames: int
    fps: float
    start: int
    stop: int
    step: int
    train: tuple[FrameRange, ...] = ()
    val: tuple[FrameRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """How the split was made: strategy "video", "time-block" or "image", and what it was given."""

    strategy: Literal["video", "time-block", "image"]
    val_share: float
    guard_seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's sources, label names (class id = position + 1), split and groups of source names."""

    dataset: str
    labels: tuple[str, ...]
    sources: tuple[Source, ...]
    split: Split
    groups: tuple[tuple[str, ...], ...]

    def source(self, name: str) -> Source:
        """The source of that name; KeyError where there is none."""
        return next(s for s in self.sources if s.name == name)


PLAN_FILE = "plan.json"
KEYS_FILE = "keys.parquet"


def write_plan(plan: Plan, folder: Path) -> None:
    """Write `plan` as plan.json into `folder`."""
    (folder / PLAN_FILE).write_text(json.dumps(asdict(plan), indent=1, sort_keys=True) + "\n")


def read_plan(folder: Path) -> Plan:
    """Read the plan that `write_plan` wrote."""
    raw = read_json_object(folder / PLAN_FILE)
    sources = tuple(
        Source(
            **{
                **s,
                "train": tuple((a, b) for a, b in s["train"]),
                "val": tuple((a, b) for a, b in s["val"]),
            }
        )
        for s in raw["sources"]
    )
    return Plan(
        dataset=raw["dataset"],
        labels=tuple(raw["labels"]),
        sources=sources,
        split=Split(**raw["split"]),
        groups=tuple(tuple(g) for g in raw["groups"]),
    )
