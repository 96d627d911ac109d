"""The parts of tracks in which motion is looked for: between key frames, without a break."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kfdet.boxes.tables import UNTRACKED, Boxes, corners

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A track from one key frame to a later one.

    Args:
        rows: (N,) rows of the box table, by rising frame.
        frames: (N,) source frames, one task step apart.
        drawn: (N,) whether a person drew the box; true for the first and the last.
        boxes: (N, 4) xmin, ymin, xmax, ymax in source pixels.
    """

    rows: Integers
    frames: Integers
    drawn: Flags
    boxes: Boxes

    @property
    def centres(self) -> Floats:
        """(N, 2) x and y."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @property
    def sizes(self) -> Floats:
        """(N, 2) width and height."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Positions of neighbouring key frames with frames between them."""
        for first, last in pairwise(np.flatnonzero(self.drawn).tolist()):
            if last - first > 1:
                yield first, last


def find_stretches(
    boxes: pa.Table, step: int, longest_gap: float, left_out: Collection[int] = ()
) -> list[Stretch]:
    """Cut the tracks of one video into stretches with boxes to look for.

    What has a key frame on one side only stays out: before an outside key, after the last key.

    Args:
        boxes: BOX_SCHEMA, of one video.
        step: Distance between task frames in source frames.
        longest_gap: Source frames between two keys above which a stretch ends.
        left_out: Tracks to leave alone.
    """
    tracks, frames = boxes["track_id"].to_numpy(), boxes["frame"].to_numpy()
    drawn = boxes["keyframe"].to_numpy(zero_copy_only=False)
    sides = corners(boxes)
    unusable = np.isin(tracks, [UNTRACKED, *left_out])
    order = np.lexsort((frames, tracks))
    order = order[~unusable[order]]
    breaks = (np.diff(tracks[order]) != 0) | (np.diff(frames[order]) != step)
    found = []
    for run in np.split(order, np.flatnonzero(breaks) + 1):
        keys = np.flatnonzero(drawn[run])
        wide = np.flatnonzero(np.diff(frames[run][keys]) > longest_gap)
        for part in np.split(keys, wide + 1):
            if len(part) and part[-1] - part[0] >= len(part):
                rows = run[part[0] : part[-1] + 1]
                found.append(Stretch(rows, frames[rows], drawn[rows], sides[rows]))
    return found
