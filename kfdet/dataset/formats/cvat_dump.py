"""What a CVAT file holds, before any meaning is given: tasks, tracks, images and their rows.

`cvat_xml` fills it in; `cvat_video` and `cvat_images` interpret it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from kfdet.errors import Problem


class Row(NamedTuple):
    """One <box>: frame as written (0 in an image), pixels, degrees, flags and its line.

    The last two flags are attributes that the task's author gave the label.
    """

    frame: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    rotation: float
    outside: bool
    occluded: bool
    keyframe: bool
    label: str
    line: int
    difficult: bool = False
    ignore: bool = False


@dataclass(slots=True)
class Track:
    """One <track>."""

    id: int
    label: str
    line: int
    task: str
    subset: str
    rows: list[Row] = field(default_factory=list)
    shapes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Image:
    """One <image>."""

    id: int
    name: str
    width: int
    height: int
    line: int
    task: str
    subset: str
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Task:
    """One annotation task (or the whole file where the dump is of one task or job).

    Args:
        id: CVAT's number of the task.
        name: What the user called it.
        source: File name of the video, "" where the dump omits it.
        subset: Subset of a project that it belongs to.
        start: First frame in source frames.
        stop: Last frame, inclusive, None where the dump does not say.
        step: Distance of frames.
        width: Width of the video, 0 where unknown.
        height: Height of the video, 0 where unknown.
        video: The task is a video (mode "interpolation").
        offset: What a project dump adds to the task's frame numbers.
    """

    id: str = ""
    name: str = ""
    source: str = ""
    subset: str = ""
    start: int = 0
    stop: int | None = None
    step: int = 1
    width: int = 0
    height: int = 0
    video: bool = True
    offset: int = 0

    @property
    def end(self) -> int:
        """First number after the task's own frames in a project dump."""
        size = 0 if self.stop is None else (self.stop - self.start) // self.step + 1
        return self.offset + self.start + self.step * size


@dataclass(slots=True)
class Dump:
    """A parsed CVAT file."""

    file: str
    tasks: list[Task] = field(default_factory=list)
    project: bool = False
    labels: list[str] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class TaskIndex:
    """Finds the task of a track or image, in a time that does not grow with their number.

    Args:
        dump: A parsed file.
    """

    def __init__(self, dump: Dump) -> None:
        self._project = dump.project
        self.by_id: dict[str, int] = {}
        spans: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for number, task in enumerate(dump.tasks):
            self.by_id.setdefault(task.id, number)
            span = (task.offset + task.start, task.end, number)
            spans[task.subset].append(span)
            spans[""].append(span)
        self._spans = {subset: _Spans(found) for subset, found in spans.items()}

    def find(self, task: str, subset: str, frames: range) -> int | None:
        """The place in `Dump.tasks`; None where that is not known.

        Args:
            task: The track's or image's `task_id`, "" in dumps that do not write it.
            subset: Its `subset`.
            frames: From its first frame to its last, as written.
        """
        if not self._project:
            return 0
        if task:
            return self.by_id.get(task)
        spans = self._spans.get(subset)
        return spans.only_around(frames) if spans else None


class _Spans:
    """Half-open spans (first, end, number)."""

    def __init__(self, spans: Iterable[tuple[int, int, int]]) -> None:
        self._firsts: list[int] = []
        # Of all spans up to one: the latest end, its number, and the latest end of another span.
        self._latest: list[tuple[int, int, int]] = []
        latest, number, second = -1, -1, -1
        for first, end, own in sorted(spans):
            if end > latest:
                latest, number, second = end, own, latest
            else:
                second = max(second, end)
            self._firsts.append(first)
            self._latest.append((latest, number, second))

    def only_around(self, frames: range) -> int | None:
        """The number of the only span that holds `frames`; None where it is not the only one."""
        place = bisect_right(self._firsts, frames.start) - 1
        if place < 0:
            return None
        latest, number, second = self._latest[place]
        return number if second < frames.stop <= latest else None
