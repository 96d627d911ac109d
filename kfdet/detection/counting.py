"""Counts of tracked objects: by label, across lines, and in and out of zones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.limits import MAX_COORDINATE
from kfdet.detection.stream import FrameDetections
from kfdet.errors import InputError

Point = tuple[float, float]
"""x and y in pixels of the source."""

FEWEST_FRAMES = 3
"""Frames on which an object is found before it counts: a false detection rarely lasts longer."""

_MARGIN = 0.1
"""How far past a border an object's centre must be, as a share of its box's shorter side: a box
that trembles on the border crosses it once."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line between two points; who comes to the right of it enters.

    To the right as seen by somebody who stands on the first point and looks at the second.
    """

    start: Point
    end: Point

    @classmethod
    def parse(cls, text: str) -> Self:
        """The line of "x1,y1,x2,y2".

        Raises:
            InputError: Other numbers, or twice the same point.
        """
        points = _points(text)
        if len(points) != 2 or points[0] == points[1]:
            raise InputError(
                f"a line has two different points, got {text!r}.", hint="Give x1,y1,x2,y2."
            )
        return cls(*points)

    @property
    def points(self) -> tuple[Point, ...]:
        """Both ends."""
        return self.start, self.end

    def beyond(self, point: Point) -> float:
        """Pixels from the line to `point`: positive where an entry leads, negative elsewhere."""
        (ax, ay), (bx, by), (x, y) = self.start, self.end, point
        return ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / math.dist(self.start, self.end)

    def between(self, start: Point, end: Point) -> bool:
        """Whether the straight way between points on different sides leads over the line."""
        if start == end:
            return False
        way = Line(start, end)
        return (way.beyond(self.start) > 0) != (way.beyond(self.end) > 0)


@dataclass(frozen=True, slots=True)
class Zone:
    """The inside of a polygon; who comes into it enters."""

    points: tuple[Point, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The polygon of "x1,y1,x2,y2,x3,y3,...".

        Raises:
            InputError: Fewer than three different corners, or no area.
        """
        corners = _points(text)
        if len(set(corners)) < 3:
            raise InputError(
                f"a zone has three corners or more, got {text!r}.",
                hint="Give x1,y1,x2,y2,x3,y3 and so on, around the zone.",
            )
        return cls(corners)

    def beyond(self, point: Point) -> float:
        """Pixels from the zone's border to `point`: positive inside, negative outside."""
        x, y = point
        inside, nearest = False, math.inf
        for (ax, ay), (bx, by) in zip(self.points, self.points[1:] + self.points[:1], strict=True):
            if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
                inside = not inside  # a ray to the right crosses this side
            length = (bx - ax) ** 2 + (by - ay) ** 2
            along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length if length else 0.0
            along = min(1.0, max(0.0, along))
            nearest = min(
                nearest, math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
            )
        return nearest if inside else -nearest

    def between(self, start: Point, end: Point) -> bool:
        """Whether a way from inside to outside or back crosses the border: always."""
        return True


@dataclass(slots=True)
class Crossings:
    """Who has crossed one border, by label.

    Args:
        border: A line or a zone.
        entered: Objects that came to its positive side, each time that they did.
        left: Objects that came back.
    """

    border: Line | Zone
    entered: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    _places: dict[int, tuple[Point, bool]] = field(default_factory=dict)

    def see(self, track: int, label: str, centre: Point, margin: float) -> None:
        """Take the next place of a track, which counts if it is `margin` pixels from the border."""
        beyond = self.border.beyond(centre)
        if abs(beyond) < margin:
            return
        side = beyond > 0
        before, side_before = self._places.get(track, (centre, side))
        self._places[track] = centre, side
        if side != side_before and self.border.between(before, centre):
            (self.entered if side else self.left)[label] += 1


class ObjectCounter:
    """Counts the objects of one source.

    Args:
        borders: Lines and zones, in pixels of the source.
    """

    def __init__(self, borders: Iterable[Line | Zone] = ()) -> None:
        self.crossings = tuple(Crossings(border) for border in borders)
        self.objects: Counter[str] = Counter()
        """Different objects so far, by label."""
        self._frames: Counter[int] = Counter()

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON holds them."""
        kinds: dict[str, list[dict[str, Any]]] = {"lines": [], "zones": []}
        for each in self.crossings:
            kinds["lines" if isinstance(each.border, Line) else "zones"].append(
                {
                    "points": [list(point) for point in each.border.points],
                    "entered": dict(each.entered),
                    "left": dict(each.left),
                }
            )
        return {"objects": dict(self.objects), **kinds}

    def see(self, found: FrameDetections) -> None:
        """Take the tracked detections of the next frame."""
        detections = found.detections
        if detections.tracks is None:
            raise ValueError("detections are counted by their tracks: track them first.")
        rows = zip(
            detections.tracks.tolist(), detections.labels, detections.boxes.tolist(), strict=True
        )
        for track, label, (left, top, right, bottom) in rows:
            if track == UNTRACKED:
                continue
            self._frames[track] += 1
            if self._frames[track] == FEWEST_FRAMES:
                self.objects[label] += 1
            centre = (left + right) / 2, (top + bottom) / 2
            margin = _MARGIN * min(right - left, bottom - top)
            for crossings in self.crossings:
                crossings.see(track, label, centre, margin)


class Counting:
    """Counts the objects of every source; a step on the way from the detector to the files.

    Args:
        borders: Lines and zones, in pixels of each source.
    """

    def __init__(self, borders: Sequence[Line | Zone] = ()) -> None:
        self._borders = borders
        self.sources: dict[str, ObjectCounter] = {}

    def __call__(self, found: FrameDetections) -> FrameDetections:
        """Count on the next frame of a source, which stays as it is."""
        counter = self.sources.get(found.source)
        if counter is None:
            counter = self.sources[found.source] = ObjectCounter(self._borders)
        counter.see(found)
        return found


def _points(text: str) -> tuple[Point, ...]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if (
        not numbers
        or len(numbers) % 2
        or not all(
            # Also False for NaN.
            -MAX_COORDINATE <= number <= MAX_COORDINATE
            for number in numbers
        )
    ):
        raise InputError(
            f"{text!r} is not a list of points.",
            hint="Give x and y of each point in pixels, separated by commas: 0,300,640,300.",
        )
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
