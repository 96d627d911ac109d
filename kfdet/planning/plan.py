"""The plan of a run: the use of each video and image, decided before anything slow starts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from kfdet.boxes.tables import KEY_SCHEMA, NO_LABEL, read_table
from kfdet.dataset.formats.limits import MAX_FRAMES, MAX_ID, MAX_SIDE
from kfdet.errors import InputError
from kfdet.files import REMAKE, parse_json

SIDES = ("train", "val", "test")
"""The sides of a split: what trains, what steers training, what measures the result."""

_Frame = Annotated[int, Field(ge=0, le=MAX_FRAMES)]
_Pixels = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Share = Annotated[float, Field(ge=0, le=1)]

FrameRange = tuple[_Frame, _Frame]
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
        fps: Frames per second (0 for an image).
        start: First annotated-task frame of the source video.
        stop: Last annotated-task frame, inclusive.
        step: Distance between task frames in source frames.
        train: Frame ranges that training may see.
        val: Frame ranges that only validation sees.
        test: Frame ranges that only the measurement of the result sees.
        background: A video that a person annotated without any box: all of its task shows
            background.
        file_bytes: Size of the file.
        first_id: `source_id` of the first example that its frames may become
            (`kfdet.records.examples`).
        negative_frames: How many whole frames of it train as background.
        negative_crops: How many crops, likewise.
        background_share: Share of a background video's frames that measure.
    """

    name: str
    kind: Literal["video", "image"]
    annotation: str
    width: _Pixels
    height: _Pixels
    frames: _Frame
    fps: NonNegativeFloat
    start: _Frame
    stop: Annotated[int, Field(ge=-1, le=MAX_ID)]
    step: Annotated[int, Field(ge=1, le=MAX_FRAMES)]
    train: tuple[FrameRange, ...] = ()
    val: tuple[FrameRange, ...] = ()
    background: bool = False
    test: tuple[FrameRange, ...] = ()
    file_bytes: NonNegativeInt = 0
    first_id: Annotated[int, Field(ge=1, le=MAX_ID)] = 1
    negative_frames: _Frame = 0
    negative_crops: _Frame = 0
    background_share: _Share = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Displayed width and height in pixels."""
        return self.width, self.height

    @property
    def used(self) -> tuple[FrameRange, ...]:
        """The frame ranges of all sides."""
        return (*self.train, *self.val, *self.test)

    @property
    def task(self) -> tuple[int, int, int]:
        """First frame, last frame (inclusive) and step of the annotation task."""
        return self.start, self.stop, self.step


@dataclass(frozen=True, slots=True)
class Split:
    """How the split was made.

    Args:
        strategy: What changes sides as a whole: videos, blocks of videos, or images; "own" where
            the dataset states the sides; "whole" where nothing trains and all of it is measured.
        val_share: Share of the frames that was asked for, for evaluation only.
        guard_seconds: Gap within a video that was asked for, in seconds.
        seed: Seed of every choice.
        gap_seconds: Shortest gap within a video that was really left; None where no video is cut.
        sides_from: What states sides, as a person reads it; "" where nothing does.
    """

    strategy: Literal["video", "time-block", "image", "own", "whole"]
    val_share: _Share
    guard_seconds: NonNegativeFloat
    seed: NonNegativeInt
    gap_seconds: NonNegativeFloat | None = None
    sides_from: str = ""


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
        return {source.name: source for source in self.sources}[name]

    def group(self, index: int) -> list[Source]:
        """The sources of one group.

        Raises:
            InputError: There is no such group.
        """
        if not 0 <= index < len(self.groups):
            raise InputError(f"there is no group {index}; the plan has {len(self.groups)}.")
        by_name = {source.name: source for source in self.sources}
        return [by_name[name] for name in self.groups[index]]


PLAN_FILE = "plan.jsonl"
"""One line of JSON for the plan without its sources, and one for every source."""
KEYS_FILE = "keys.parquet"


def write_plan(plan: Plan, folder: Path) -> None:
    """Write `plan` as plan.jsonl into `folder`."""
    names = [field.name for field in fields(Source)]
    with (folder / PLAN_FILE).open("w") as file:
        whole = {
            "dataset": plan.dataset,
            "labels": plan.labels,
            "split": asdict(plan.split),
            "groups": plan.groups,
        }
        file.write(json.dumps(whole) + "\n")
        for source in plan.sources:
            file.write(json.dumps({name: getattr(source, name) for name in names}) + "\n")


def read_plan(folder: Path) -> Plan:
    """Read the plan that `write_plan` wrote.

    Raises:
        InputError: It is damaged or missing; names the line.
    """
    path = folder / PLAN_FILE
    try:
        with path.open("rb") as file:
            whole = parse_json(file.readline(), _Whole, path, line=1, hint=REMAKE)
            sources = tuple(
                parse_json(text, Source, path, line=line, hint=REMAKE)
                for line, text in enumerate(file, 2)
            )
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", file=path, hint=REMAKE) from error
    unknown = {name for group in whole.groups for name in group} - {each.name for each in sources}
    if unknown:
        raise InputError(f"nothing describes {min(unknown)}.", file=path, hint=REMAKE)
    return Plan(whole.dataset, whole.labels, sources, whole.split, whole.groups)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The first line of the file."""

    dataset: str
    labels: tuple[str, ...]
    split: Split
    groups: tuple[tuple[str, ...], ...]


def read_key_frames(folder: Path, sources: Iterable[Source]) -> dict[str, npt.NDArray[np.int64]]:
    """Rising frames with key boxes of any track, by source; sources without keys are absent.

    Regions without a label are left out: they do not show that somebody looked at the frame.

    Args:
        folder: The folder of the plan.
        sources: The sources that are asked for.
    """
    names = pa.array([source.name for source in sources], pa.string())
    own = pc.field("video").isin(names)
    drawn = (pc.field("label") != NO_LABEL) | ~pc.field("crowd")
    keys = read_table(folder / KEYS_FILE, KEY_SCHEMA, ["video", "frame"], own & drawn)
    video = keys["video"].combine_chunks().dictionary_encode()
    frame = keys["frame"].to_numpy().astype(np.int64)
    length = int(frame.max(initial=0)) + 1
    place = np.sort(video.indices.to_numpy().astype(np.int64) * length + frame)
    place = place[np.diff(place, prepend=-1) > 0]  # np.unique takes ten times as long
    found = video.dictionary.to_pylist()
    bounds = np.searchsorted(place, np.arange(len(found) + 1) * length)
    return {
        name: place[begin:end] % length
        for name, begin, end in zip(found, bounds, bounds[1:], strict=False)
    }
