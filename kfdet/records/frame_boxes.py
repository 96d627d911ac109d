"""The boxes of some sources by frame, as examples show them: clipped and without slivers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.boxes.neighbours import key_neighbours
from kfdet.boxes.tables import BOX_ORDER, BOX_SCHEMA, NO_LABEL, Boxes, corners
from kfdet.errors import InputError
from kfdet.planning.plan import Source

SMALLEST = 1.0
"""A box thinner than this many source pixels is a sliver at the edge of the picture: dropped."""


class FrameBoxes:
    """The boxes of a table by frame, clipped to their source.

    Args:
        table: BOX_SCHEMA, in any order; of its tracks all boxes.
        sources: Its videos and images, and maybe others.
        labels: Label names; class id = position + 1.

    Attributes:
        table: BOX_SCHEMA, sorted by video, frame, track; without slivers. A region without a label
            is there once for every label.
        corners: Shape (N, 4), clipped, source pixels.
        class_ids: Shape (N,), from 1.
        crowd: Shape (N,), whether the box is not an object but a region that is not judged.
        drawn: Shape (N,), whether a person drew the box on its frame.
        tracks: Shape (N,), UNTRACKED without one.
        neighbours: The key frames between which each box lies.

    Raises:
        InputError: A label or video is not in the plan, or a coordinate is not finite.
    """

    def __init__(self, table: pa.Table, sources: Sequence[Source], labels: Sequence[str]) -> None:
        sizes = {source.name: (source.width, source.height) for source in sources}
        numbers = {label: number for number, label in enumerate(labels, 1)}
        table = _with_labels(table.cast(BOX_SCHEMA), labels).sort_by(BOX_ORDER)
        _known(table, "video", sizes, "videos")
        _known(table, "label", numbers, "labels")
        sides = corners(table)
        limits = np.array(_coded(table, "video", lambda name: (*sizes[name], *sizes[name])))
        wrong = np.flatnonzero(~np.isfinite(sides).all(axis=1))
        if len(wrong):
            row = int(wrong[0])
            raise InputError(
                "a box has a coordinate that is not a number.",
                file=table["video"][row].as_py(),
                frame=table["frame"][row].as_py(),
            )
        sides = np.clip(sides, 0, limits.reshape(-1, 4))
        keep = ((sides[:, 2:] - sides[:, :2]) >= SMALLEST).all(axis=1)
        self.table = table.filter(pa.array(keep))
        self.corners: Boxes = sides[keep]
        self.limits: Boxes = limits.reshape(-1, 4)[keep]
        self.labels: list[str] = self.table["label"].to_pylist()
        self.class_ids: npt.NDArray[np.int64] = np.array(
            _coded(self.table, "label", numbers.__getitem__), np.int64
        )
        self.occluded: npt.NDArray[np.bool_] = self.table["occluded"].to_numpy()
        self.difficult: npt.NDArray[np.bool_] = self.table["difficult"].to_numpy()
        self.crowd: npt.NDArray[np.bool_] = self.table["crowd"].to_numpy()
        self.drawn: npt.NDArray[np.bool_] = self.table["keyframe"].to_numpy()
        self.tracks: npt.NDArray[np.int64] = self.table["track_id"].to_numpy()
        steps = {source.name: source.step for source in sources}
        self.neighbours = key_neighbours(
            self.table, self.corners, _coded(self.table, "video", steps.__getitem__)
        )
        self._slices = dict(_frame_slices(self.table))

    def of(self, video: str, frame: int) -> slice:
        """Rows of one frame, regions among them; empty where it has no box."""
        return self._slices.get((video, frame), slice(0, 0))

    def objects(self, video: str, frame: int) -> npt.NDArray[np.int64]:
        """Rows of the objects on one frame."""
        rows = self.of(video, frame)
        objects: npt.NDArray[np.int64] = rows.start + np.flatnonzero(~self.crowd[rows])
        return objects

    def has(self, video: str, frame: int) -> bool:
        """Whether a frame has an object."""
        return not self.crowd[self.of(video, frame)].all()

    def truncated(self, rows: slice) -> npt.NDArray[np.bool_]:
        """Whether each box of `rows` ends at the edge of its picture."""
        at_start = self.corners[rows, :2] <= 0
        at_end = self.corners[rows, 2:] >= self.limits[rows, 2:]
        truncated: npt.NDArray[np.bool_] = np.any(at_start | at_end, axis=1)
        return truncated


def _with_labels(table: pa.Table, labels: Sequence[str]) -> pa.Table:
    """The table with every region that has no label once for each label."""
    nameless = pc.equal(table["label"], NO_LABEL)
    regions = table.filter(nameless)
    if not len(regions):
        return table
    place = table.schema.get_field_index("label")
    named = [
        regions.set_column(place, "label", pa.array([label] * len(regions), pa.string()))
        for label in labels
    ]
    return pa.concat_tables([table.filter(pc.invert(nameless)), *named])


def _known(
    table: pa.Table, column: str, names: Sequence[str] | Mapping[str, object], what: str
) -> None:
    strange = set(pc.unique(table[column]).to_pylist()) - set(names)
    if strange:
        raise InputError(
            f"the boxes name {what} that the plan does not have: {', '.join(sorted(strange))}.",
            hint="Run the stages again from planning.",
        )


def _coded(table: pa.Table, column: str, value: Callable[[str], object]) -> npt.NDArray[Any]:
    """`value` of every row's name, worked out once a name."""
    coded = table[column].combine_chunks().dictionary_encode()
    values = np.array([value(name) for name in coded.dictionary.to_pylist()])
    rows: npt.NDArray[Any] = values[coded.indices.to_numpy()]
    return rows


def _frame_slices(table: pa.Table) -> Iterator[tuple[tuple[str, int], slice]]:
    """The rows of each (video, frame) of a sorted table."""
    videos, frames = table["video"].to_pylist(), table["frame"].to_pylist()
    start = 0
    for key, group in itertools.groupby(zip(videos, frames, strict=True)):
        stop = start + sum(1 for _ in group)
        yield key, slice(start, stop)
        start = stop
