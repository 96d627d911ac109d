"""Tracks of detections as few key boxes, which a person corrects in an annotation tool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.boxes.reduction import fewest_keys
from kfdet.boxes.tables import SIDES, UNTRACKED, Boxes
from kfdet.dataset.formats.model import Item, KeyBox
from kfdet.detection.counting import FEWEST_FRAMES
from kfdet.motion.path import smooth

Integers = npt.NDArray[np.int64]

_LONGEST_GAP = 1.0
"""Seconds without a detection over which a track goes on; after longer ones it was outside."""

_STIFFNESS = 0.25
"""Seconds: shorter turns are taken for errors of the detector."""

_DIGITS = 2
"""CVAT's: the boxes that are written are the ones that were compared."""


def key_boxes(boxes: Sequence[Mapping[str, Any]], item: Item) -> list[KeyBox]:
    """The fewest key boxes whose interpolation holds every box of the smoothed tracks.

    Each side of a track is smoothed over time: a detector's boxes tremble, and without that, most
    of them would be key boxes. What is seen on fewer than FEWEST_FRAMES frames is left out.

    Args:
        boxes: Rows with the names of BOX_SCHEMA, of one video; those without a track are left out.
        item: The video, with the first and last frame, the step and the frame rate of `boxes`.

    Returns:
        By track and frame, with an outside key where a track ends before the video does.
    """
    keys: list[KeyBox] = []
    for track, label, frames, corners in smoothed_tracks(boxes, item):
        chosen = fewest_keys(frames, corners)
        places = zip(frames[chosen].tolist(), corners[chosen].tolist(), strict=True)
        keys += [KeyBox(track, label, frame, *box) for frame, box in places]
        gone = int(frames[-1]) + item.step
        if gone <= item.stop:
            keys.append(keys[-1]._replace(frame=gone, outside=True))
    return keys


def smoothed_tracks(
    boxes: Sequence[Mapping[str, Any]], item: Item
) -> Iterator[tuple[int, str, Integers, Boxes]]:
    """Track, label, frames (N,) and smoothed boxes (N, 4) of each stretch without a long gap.

    Args:
        boxes: As for `key_boxes`.
        item: As for `key_boxes`.
    """
    tracks: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for box in boxes:
        if box["track_id"] != UNTRACKED:
            tracks[box["track_id"]].append(box)
    for track, rows in sorted(tracks.items()):
        rows.sort(key=lambda row: row["frame"])
        for frames, corners in _stretches(rows, item):
            yield track, rows[0]["label"], frames, corners


def _stretches(rows: Sequence[Mapping[str, Any]], item: Item) -> Iterator[tuple[Integers, Boxes]]:
    """Frames without a gap on the grid of `item`, and the smoothed boxes on them."""
    frames = np.array([row["frame"] for row in rows])
    corners = np.array([[row[side] for side in SIDES] for row in rows])
    rate = item.fps / item.step
    places = (frames - frames[0]) // item.step
    breaks = np.flatnonzero(np.diff(places) > max(1.0, _LONGEST_GAP * rate)) + 1
    for own, found in zip(np.split(places, breaks), np.split(corners, breaks), strict=True):
        if len(own) < FEWEST_FRAMES:
            continue
        seen = np.zeros(own[-1] - own[0] + 1)
        seen[own - own[0]] = 1
        path = np.zeros((len(seen), 4))
        path[own - own[0]] = found
        smoothed = smooth(path, seen, max(_STIFFNESS * rate, 0.1))
        limits = np.array([item.width, item.height, item.width, item.height])
        whole = frames[0] + item.step * np.arange(own[0], own[-1] + 1)
        yield whole, np.clip(smoothed, 0, limits).round(_DIGITS)
