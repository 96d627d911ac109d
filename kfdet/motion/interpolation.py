"""Boxes on every frame of videos, each by the method that suits it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.boxes.interpolation import Method, Task, interpolate
from kfdet.boxes.tables import SIDES, UNTRACKED
from kfdet.parameters import Interpolation

_SAMPLE = 60
"""Key boxes of a video that are left out to compare the methods, at most."""
_ENOUGH = 8
"""Fewer tell nothing."""
_GOOD = 0.97
"""Mean overlap above which it is not worth decoding the video."""

Flags = npt.NDArray[np.bool_]


def interpolate_videos(
    keys: pa.Table,
    tasks: Mapping[str, Task],
    videos: Mapping[str, Path],
    method: Interpolation = "auto",
) -> pa.Table:
    """Boxes on every task frame (BOX_SCHEMA, sorted by video, frame, track) from key boxes.

    Args:
        keys: KEY_SCHEMA, in any order.
        tasks: For every video and image its task's first frame, last frame (inclusive) and step.
        videos: The files in which objects can be tracked, by name; boxes of others move linearly
            where the method needs pictures.
        method: "linear", "cubic", "tracked" or "auto": see `choose_method`.

    Raises:
        InputError: A track has two key boxes on one frame, a name has no task, or a file is not a
            video.
    """
    if method in ("linear", "cubic"):
        return interpolate(keys, tasks, method)
    own = pc.is_in(keys["video"], value_set=pa.array(sorted(videos), pa.string()))
    parts = [interpolate(keys.filter(pc.invert(own)), tasks)]
    for name in sorted(set(keys["video"].filter(own).to_pylist())):
        some = keys.filter(pc.equal(keys["video"], name))
        task = {name: tasks[name]}
        chosen = choose_method(some, task, videos[name]) if method == "auto" else method
        parts.append(_interpolate(some, task, videos[name], chosen))
    table = pa.concat_tables(parts)
    if len(parts) == 1 or not parts[0].num_rows:
        return table
    order = np.argsort(table["video"].to_numpy(zero_copy_only=False), kind="stable")
    return table.take(pa.array(order))


def _interpolate(
    keys: pa.Table, task: Mapping[str, Task], video: Path, method: Interpolation
) -> pa.Table:
    """The boxes of one video by one method."""
    if method in ("linear", "cubic"):
        return interpolate(keys, task, method)
    other = pc.or_(pc.not_equal(keys["rotation"], 0.0), keys["crowd"])
    left_out = frozenset(keys["track_id"].filter(other).to_pylist())
    return _track(interpolate(keys, task, "cubic"), task, video, left_out)


def _track(
    boxes: pa.Table, task: Mapping[str, Task], video: Path, left_out: Collection[int] = ()
) -> pa.Table:
    from kfdet.motion.tracking import track_boxes  # OpenCV is slow to import

    (step,) = (each[2] for each in task.values())
    return track_boxes(boxes, video, step, left_out)


def choose_method(keys: pa.Table, task: Mapping[str, Task], video: Path) -> Interpolation:
    """The method that best predicts key boxes of a video which are left out for this.

    "linear" where there are too few that can be left out. Tracking is tried only where the others
    leave something to gain.

    Args:
        keys: KEY_SCHEMA, of one video.
        task: Its name and task.
        video: The video.
    """
    keys = keys.sort_by([("track_id", "ascending"), ("frame", "ascending")])
    left_out = _leave_out(keys)
    if left_out.sum() < _ENOUGH:
        return "linear"
    kept = keys.filter(pa.array(~left_out))
    asked = _with_tracks(keys.filter(pa.array(left_out)), np.arange(left_out.sum()))
    overlaps: dict[Interpolation, float] = {}
    curves: tuple[Method, ...] = ("linear", "cubic")
    for method in curves:
        boxes = _gaps(interpolate(kept, task, method), keys, left_out)
        overlaps[method] = _overlap(boxes, asked)
    if max(overlaps.values()) <= _GOOD:
        overlaps["tracked"] = _overlap(_track(boxes, task, video), asked)
    return max(overlaps, key=overlaps.__getitem__)


def _gaps(boxes: pa.Table, keys: pa.Table, left_out: Flags) -> pa.Table:
    """The boxes from the key before to the key after each one that is left out, as own tracks."""
    track, frame = keys["track_id"].to_numpy(), keys["frame"].to_numpy()
    tracks, frames = boxes["track_id"].to_numpy(), boxes["frame"].to_numpy()
    parts = []
    for number, at in enumerate(np.flatnonzero(left_out)):
        inside = (tracks == track[at]) & (frames >= frame[at - 1]) & (frames <= frame[at + 1])
        gap = boxes.filter(pa.array(inside))
        parts.append(_with_tracks(gap, np.full(len(gap), number)))
    return pa.concat_tables(parts)


def _with_tracks(table: pa.Table, tracks: npt.NDArray[np.int64]) -> pa.Table:
    place = table.schema.get_field_index("track_id")
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(tracks, field.type))


def _leave_out(keys: pa.Table) -> Flags:
    """At most every other key of a track, each between two that stay and visible like these."""
    track = keys["track_id"].to_numpy()
    unusable = pc.or_(keys["outside"], keys["crowd"]).to_numpy(zero_copy_only=False)
    plain = ~unusable & (keys["rotation"].to_numpy() == 0)
    first = np.flatnonzero(np.append(True, np.diff(track) != 0))
    place = np.arange(len(track)) - np.repeat(first, np.diff(np.append(first, len(track))))
    inner = np.zeros(len(track), bool)
    inner[1:-1] = (track[:-2] == track[2:]) & plain[:-2] & plain[1:-1] & plain[2:]
    able = np.flatnonzero(inner & (place % 2 == 1) & (track != UNTRACKED))
    chosen = np.zeros(len(track), bool)
    spread = np.linspace(0, len(able) - 1, min(_SAMPLE, len(able)))
    chosen[able[np.rint(spread).astype(int)]] = True
    return chosen


def _overlap(boxes: pa.Table, asked: pa.Table) -> float:
    """Mean overlap (IoU) of drawn boxes with the boxes of the same track and frame."""
    names = ["track_id", "frame"]
    both = asked.select([*names, *SIDES]).join(
        boxes.select([*names, *SIDES]), names, join_type="inner", right_suffix="_found"
    )
    drawn, found = (
        np.stack([both[f"{side}{suffix}"].to_numpy() for side in SIDES])
        for suffix in ("", "_found")
    )
    low, high = np.maximum(drawn[:2], found[:2]), np.minimum(drawn[2:], found[2:])
    common = np.prod(np.clip(high - low, 0, None), axis=0)
    area = np.prod(drawn[2:] - drawn[:2], axis=0) + np.prod(found[2:] - found[:2], axis=0)
    return float(np.mean(common / (area - common)))
