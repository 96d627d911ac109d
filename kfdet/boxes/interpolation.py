"""Boxes on every frame from the boxes that a person drew on a few.

CVAT's rules for tracks (server/dataset_manager/annotation.py of CVAT 2): between two key frames a
box moves linearly and its rotation turns along the shorter arc; it also moves *towards* an outside
key and is gone from that frame on, until a key that is not outside; `occluded` is copied from the
key before; after the last key a visible box stays until the end of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.boxes.tables import BOX_SCHEMA, SIDES, UNTRACKED, Boxes
from kfdet.errors import InputError

Method = Literal["linear", "cubic"]
Task = tuple[int, int, int]
"""First frame, last frame (inclusive) and step of an annotation task, in source frames."""

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_BLOCK = 1 << 14
_LARGEST_SWING = 1.0
_METHODS = ("key", "linear", "cubic", "propagated")


@dataclass(frozen=True, slots=True)
class Keys:
    """Key boxes as arrays of length K, sorted by video, track and frame.

    Args:
        video: Row of the key's video in the task table.
        track: Track number within its video; UNTRACKED rows are boxes of one frame.
        frame: Source frame.
        sides: xmin, ymin, xmax, ymax.
        rotation: Degrees around the box's centre.
        outside: The object is out of sight from this frame on.
    """

    video: Integers
    track: Integers
    frame: Integers
    sides: tuple[Floats, ...]
    rotation: Floats
    outside: Flags

    def continues(self) -> Flags:
        """Which keys are followed by a key of the same track."""
        follows = np.zeros(len(self.frame), bool)
        follows[:-1] = (
            (self.video[1:] == self.video[:-1])
            & (self.track[1:] == self.track[:-1])
            & (self.track[1:] != UNTRACKED)
        )
        return follows


@dataclass(frozen=True, slots=True)
class Filled:
    """Interpolated boxes as arrays of length N, sorted by video, frame and track.

    Args:
        key: Row of the key before the box (or of the key itself) in `Keys`.
        frame: Source frame.
        columns: (4, N) xmin, ymin, xmax, ymax; of a rotated box its axis-aligned envelope.
        method: Position in "key", "linear", "cubic", "propagated".
    """

    key: Integers
    frame: Integers
    columns: Floats
    method: npt.NDArray[np.int8]


def visible_spans(keys: Keys, tasks: Integers) -> tuple[Integers, Integers]:
    """Half-open frame spans, two of shape (K,), in which each key rules its track's box.

    Args:
        keys: The key boxes.
        tasks: (V, 3) first frame, last frame and step of every video's task.

    Returns:
        First frame and first frame no longer ruled; an outside key's span is empty. Not yet cut to
        the task.
    """
    following = np.append(keys.frame[1:], 0)
    stays = np.where(keys.track == UNTRACKED, keys.frame, tasks[keys.video, 1]) + 1
    end = np.where(keys.continues(), following, stays)
    return keys.frame, np.where(keys.outside, keys.frame, np.maximum(end, keys.frame))


def fill(keys: Keys, tasks: Integers, method: Method = "linear") -> Filled:
    """Put a box on every frame of the task grid where a track is visible, for all tracks at once.

    Args:
        keys: The key boxes.
        tasks: (V, 3) first frame, last frame (inclusive) and step of every video's task.
        method: "linear" is CVAT's; "cubic" is a natural cubic spline through each visible stretch,
            linear where that has fewer than three keys or the spline would swing farther from the
            line than the box is long.
    """
    start, _, step = tasks[keys.video].T
    first, last = _grid_rows(keys, tasks)
    counts = np.maximum(last - first, 0)

    # Stable, so that rows of one frame stay in the order of the tracks.
    video_size = (tasks[:, 1] - tasks[:, 0]) // tasks[:, 2] + 1
    offset = np.cumsum(video_size) - video_size
    rows = np.cumsum(counts) - counts
    position = np.arange(counts.sum()) + np.repeat(offset[keys.video] + first - rows, counts)
    order = _stable_order(position)
    key = np.repeat(np.arange(len(counts)), counts)[order]
    frame = position[order] * step[key] + (start - offset[keys.video] * step)[key]

    follows = keys.continues()
    terms = _polynomials(keys, follows, method)
    curved = terms[2:].any(axis=(0, 1))
    between = np.where(follows, np.where(curved, 2, 1), 3).astype(np.int8)
    filled = Filled(key, frame, np.empty((4, len(key))), between[key])
    # In blocks, so that intermediate results stay in the processor's cache.
    for row in range(0, len(key), _BLOCK):
        block = slice(row, row + _BLOCK)
        after = frame[block] - keys.frame[key[block]]
        _evaluate(terms, key[block], after, filled.columns[:, block])
        filled.method[block][after == 0] = 0
    if keys.rotation.any():
        _envelope(filled, keys, follows)
    return filled


def _grid_rows(keys: Keys, tasks: Integers) -> tuple[Integers, Integers]:
    """Half-open spans, two of shape (K,), of each key's boxes on its task's grid of frames."""
    start, stop, step = tasks[keys.video].T
    begin, end = visible_spans(keys, tasks)
    size = (stop - start) // step + 1
    first = np.clip(-((start - begin) // step), 0, size)
    return first, np.clip(-((start - end) // step), 0, size)


def _stable_order(position: Integers) -> Integers:
    """Stable sort order of non-negative integers: NumPy sorts 16-bit integers by radix."""
    order = np.argsort((position & 0xFFFF).astype(np.uint16), kind="stable")
    high = position >> 16
    while high.any():
        order = order[np.argsort((high[order] & 0xFFFF).astype(np.uint16), kind="stable")]
        high >>= 16
    return order


def _evaluate(terms: Floats, key: Integers, after: Integers, out: Floats) -> None:
    """Write the keys' polynomials (D, 4, K), `after` frames after the key, into `out` (4, N)."""
    for i in range(4):
        value = terms[-1, i][key]
        for term in terms[-2::-1, i]:
            value *= after
            value += term[key]
        out[i] = value
    if len(terms) > 2:  # a spline through nearly touching edges may cross them
        low, high = np.minimum(out[:2], out[2:]), np.maximum(out[:2], out[2:])
        out[:2], out[2:] = low, high


def _polynomials(keys: Keys, follows: Flags, method: Method) -> Floats:
    """Coefficients (D, 4, K) of rising powers of the frames since each key."""
    gap = _gaps(keys, follows).astype(np.float64)
    box = np.stack(keys.sides)
    slope = np.zeros((4, len(gap)))
    slope[:, :-1] = np.diff(box, axis=1) / gap[:-1]
    slope *= follows
    if method == "linear":
        return np.stack([box, slope])

    from scipy.linalg import solve_banded

    # One tridiagonal system for all tracks: the second derivative is 0 where a stretch ends, so
    # that stretches do not touch each other and those of two keys stay linear.
    linked = follows & ~keys.outside & ~np.append(keys.outside[1:], False)
    inner = np.flatnonzero(np.append(False, linked[:-1]) & linked)
    bands = np.zeros((3, len(gap)))
    bands[1] = 1
    right = np.zeros((len(gap), 4))
    bands[2, inner - 1] = gap[inner - 1]
    bands[1, inner] = 2 * (gap[inner - 1] + gap[inner])
    bands[0, inner + 1] = gap[inner]
    right[inner] = 6 * (slope[:, inner] - slope[:, inner - 1]).T
    second = solve_banded((1, 1), bands, right).T
    following = np.append(second[:, 1:], second[:, -1:], axis=1)
    # Where an object stops or waits between keys a spline swings far out: keep to the line there.
    swing = np.maximum(np.abs(second), np.abs(following)).max(axis=0) * gap**2 / 8
    linked &= swing <= _LARGEST_SWING * (box[2:] - box[:2]).max(axis=0)
    slope = slope - linked * gap * (2 * second + following) / 6
    return np.stack([box, slope, linked * second / 2, linked * (following - second) / (6 * gap)])


def _gaps(keys: Keys, follows: Flags) -> Integers:
    """Frames to the next key of the same track, 1 where there is none: (K,)."""
    return np.where(follows, np.append(np.diff(keys.frame), 1), 1)


def _envelope(filled: Filled, keys: Keys, follows: Flags) -> None:
    """Replace rotated boxes by the upright boxes around them."""
    turn = (np.append(np.diff(keys.rotation), 0) + 180) % 360 - 180
    speed = np.where(follows, turn, 0) / _gaps(keys, follows)
    rows = np.flatnonzero(((keys.rotation != 0) | (speed != 0))[filled.key])
    key = filled.key[rows]
    after = filled.frame[rows] - keys.frame[key]
    angle = np.radians(keys.rotation[key] + speed[key] * after)
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    low, high = filled.columns[:2, rows], filled.columns[2:, rows]
    centre, (width, height) = (low + high) / 2, (high - low) / 2
    half = np.stack([width * cos + height * sin, width * sin + height * cos])
    filled.columns[:2, rows], filled.columns[2:, rows] = centre - half, centre + half


def keys_from_table(table: pa.Table, tasks: Mapping[str, Task]) -> tuple[pa.Table, Keys, Integers]:
    """Sort a key table (KEY_SCHEMA) and give it as arrays, with its videos' (V, 3) task table.

    Raises:
        InputError: A track has two key boxes on one frame, or a video has no task.
    """
    encoded = pc.dictionary_encode(table.column("video").combine_chunks())
    names = encoded.dictionary.to_pylist()
    missing = [name for name in names if name not in tasks]
    if missing:
        raise InputError("has boxes but no annotation task.", file=min(missing))
    by_name = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[by_name] = np.arange(len(names))
    video = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    track, frame = (table.column(c).to_numpy() for c in ("track_id", "frame"))
    if not _is_sorted(video, track, frame):
        order = np.lexsort((frame, track, video))
        table = table.take(pa.array(order))
        video, track, frame = video[order], track[order], frame[order]
    keys = Keys(
        video,
        track,
        frame,
        tuple(table.column(side).to_numpy() for side in SIDES),
        table.column("rotation").to_numpy(),
        table.column("outside").to_numpy(),
    )
    twice = np.flatnonzero(keys.continues()[:-1] & (np.diff(frame) == 0))
    if len(twice):
        row = table.slice(int(twice[0]) + 1, 1).to_pylist()[0]
        raise InputError(
            f"track {row['track_id']} has two key boxes on this frame.",
            file=row["video"],
            line=row["line"] or None,
            frame=row["frame"],
            hint="Delete one of them.",
        )
    spans = np.array([tasks[names[i]] for i in by_name], np.int64).reshape(-1, 3)
    return table, keys, spans


def _is_sorted(video: Integers, track: Integers, frame: Integers) -> bool:
    same_video = video[1:] == video[:-1]
    same_track = same_video & (track[1:] == track[:-1])
    return bool(
        np.all(video[1:] >= video[:-1])
        and np.all(~same_video | (track[1:] >= track[:-1]))
        and np.all(~same_track | (frame[1:] >= frame[:-1]))
    )


def interpolate(keys: pa.Table, tasks: Mapping[str, Task], method: Method = "linear") -> pa.Table:
    """Boxes on every task frame (BOX_SCHEMA, sorted by video, frame, track) from key boxes.

    Args:
        keys: KEY_SCHEMA, in any order.
        tasks: For every video its task's first frame, last frame (inclusive) and step.
        method: "linear" (CVAT's) or "cubic" (see `fill`).

    Raises:
        InputError: A track has two key boxes on one frame, or a video has no task.
    """
    if keys.num_rows == 0:
        return BOX_SCHEMA.empty_table()
    table, arrays, spans = keys_from_table(keys, tasks)
    filled = fill(arrays, spans, method)
    rows = pa.array(filled.key)
    copied = {
        c: table.column(c).combine_chunks().take(rows)
        for c in ("video", "track_id", "label", "occluded", "difficult", "crowd")
    }
    coordinates = zip(SIDES, filled.columns, strict=True)
    return pa.table(
        {
            **copied,
            "frame": filled.frame,
            "keyframe": filled.method == 0,
            "method": pa.array(_METHODS).take(pa.array(filled.method)),
            **dict(coordinates),
        }
    ).select(BOX_SCHEMA.names)


def count_boxes(keys: pa.Table, tasks: Mapping[str, Task]) -> int:
    """How many boxes `interpolate` would return; takes time for the keys only.

    Raises:
        InputError: As `interpolate`.
    """
    if keys.num_rows == 0:
        return 0
    _, arrays, spans = keys_from_table(keys, tasks)
    first, last = _grid_rows(arrays, spans)
    return int(np.maximum(last - first, 0).sum())


def boxes_at(keys: pa.Table, task: Task, track: Integers, frame: Integers) -> tuple[Flags, Boxes]:
    """Linear boxes of one video's tracks on single frames; takes no time for the frames between.

    Args:
        keys: KEY_SCHEMA, in any order, of one video.
        task: Its first frame, last frame (inclusive) and step.
        track: (N,) track of each box.
        frame: (N,) frame of each box.

    Returns:
        (N,) whether `interpolate` has such a box, and (N, 4) the boxes, 0 where it has none.

    Raises:
        InputError: A track has two key boxes on one frame.
    """
    boxes = np.zeros((len(frame), 4))
    if keys.num_rows == 0:
        return np.zeros(len(frame), bool), boxes
    name = keys["video"][0].as_py()
    _, arrays, spans = keys_from_table(keys, {name: task})
    begin, end = visible_spans(arrays, spans)
    # Ranks instead of track numbers, of which the product with a frame may not fit.
    tracks, rank = np.unique(arrays.track, return_inverse=True)
    wanted = np.minimum(np.searchsorted(tracks, track), len(tracks) - 1)
    frames = 1 + max(int(arrays.frame.max()), int(frame.max(initial=0)), 0)
    row = np.searchsorted(rank * frames + arrays.frame, wanted * frames + frame, side="right") - 1
    start, stop, step = task
    shown = (
        (row >= 0)
        & (arrays.track[row] == track)
        & (begin[row] <= frame)
        & (frame < end[row])
        & (start <= frame)
        & (frame <= stop)
        & ((frame - start) % step == 0)
    )
    follows = arrays.continues()
    key = row[shown]
    filled = Filled(key, frame[shown], np.empty((4, len(key))), np.zeros(len(key), np.int8))
    terms = _polynomials(arrays, follows, "linear")
    _evaluate(terms, key, filled.frame - arrays.frame[key], filled.columns)
    if arrays.rotation.any():
        _envelope(filled, arrays, follows)
    boxes[shown] = filled.columns.T
    return shown, boxes
