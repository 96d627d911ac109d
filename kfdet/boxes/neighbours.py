"""The key boxes beside each box of a table: between which of them a box was computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kfdet.boxes.tables import UNTRACKED, Boxes

Integers = npt.NDArray[np.int64]

NO_KEY = -1
"""Stands for the frame of a key that does not exist."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """For N boxes: the key frames of the same track between which each one lies.

    Args:
        frames: (N, 2) the key frame before a box and the one after it, both its own frame where a
            person drew it; NO_KEY where there is none. The frame from which on the track is outside
            is a key frame, too.
        hulls: (N, 4) the smallest box around the track's boxes on these two frames, in the
            coordinates of the table; where the track ends, around its last box.
    """

    frames: Integers
    hulls: Boxes


def key_neighbours(table: pa.Table, corners: Boxes, steps: Integers) -> Neighbours:
    """The neighbours of every box.

    Args:
        table: BOX_SCHEMA, in any order, with all boxes of its tracks.
        corners: (N, 4) the boxes of the table, clipped.
        steps: (N,) distance of the annotation task's frames, of each box's video.
    """
    video = table["video"].combine_chunks().dictionary_encode().indices.to_numpy()
    track, frame = table["track_id"].to_numpy(), table["frame"].to_numpy()
    drawn = table["keyframe"].combine_chunks().to_numpy(zero_copy_only=False)
    order = np.lexsort((frame, track, video))
    video, track, frame, drawn = video[order], track[order], frame[order], drawn[order]
    steps, sides = steps[order], corners[order]
    # A stretch is what a track shows without a break.
    first = np.ones(len(frame), bool)
    first[1:] = (
        (np.diff(video) != 0)
        | (np.diff(track) != 0)
        | (np.diff(frame) > steps[1:])
        | (track[1:] == UNTRACKED)
    )
    last = np.append(first[1:], True)[: len(frame)]
    position = np.arange(len(frame))
    before = np.maximum.accumulate(np.where(drawn | first, position, 0))
    after = np.minimum.accumulate(np.where(drawn | last, position, len(frame))[::-1])[::-1]
    open_end = np.array(table["method"].to_pylist(), object)[order] == "propagated"
    key_before = np.where(drawn[before], frame[before], NO_KEY)
    outside = np.where(open_end[after], NO_KEY, frame[after] + steps)
    key_after = np.where(drawn[after], frame[after], outside)
    found = Neighbours(np.empty((len(frame), 2), np.int64), np.empty_like(corners))
    found.frames[order] = np.stack([key_before, key_after], axis=1)
    found.hulls[order, :2] = np.minimum(sides[before, :2], sides[after, :2])
    found.hulls[order, 2:] = np.maximum(sides[before, 2:], sides[after, 2:])
    return found
