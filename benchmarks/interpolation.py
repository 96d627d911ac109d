"""Interpolation beside what a user would write: NumPy per track, or dictionaries per frame.

    python -m benchmarks.interpolation

The process keeps to one core and its processor time is counted, so that what else the machine does
matters little. Our time starts at the key table that planning wrote and ends at the finished box
table, sorted by video, frame and track; the other sides get their tracks ready-made and need not
sort.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.table import Row, print_table
from kfdet.boxes.interpolation import Method, Task, interpolate
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA

FLOOR = 5.0
METHODS: tuple[Method, ...] = ("linear", "cubic")
VIDEOS, TRACKS, KEYS, GAP = 20, 200, 100, 10
ROUNDS = 5
SIDES = ["xmin", "ymin", "xmax", "ymax"]


def key_table() -> tuple[pa.Table, dict[str, Task]]:
    """Return key boxes of VIDEOS x TRACKS tracks, one every GAP frames, the last one outside."""
    random = np.random.default_rng(0)
    number = VIDEOS * TRACKS * KEYS
    names = [f"videos/camera{i:02}.mp4" for i in range(VIDEOS)]
    low = random.uniform(0, 900, (number, 2))
    size = random.uniform(20, 100, (number, 2))
    key = np.tile(np.arange(KEYS), VIDEOS * TRACKS)
    table = pa.table(
        {
            "video": np.repeat(names, TRACKS * KEYS),
            "track_id": np.tile(np.repeat(np.arange(TRACKS), KEYS), VIDEOS),
            "label": np.tile(np.repeat(np.resize(["mug", "ball"], TRACKS), KEYS), VIDEOS),
            "frame": key * GAP,
            **dict(zip(SIDES, [*low.T, *(low + size).T], strict=True)),
            "rotation": np.zeros(number),
            "outside": key == KEYS - 1,
            "occluded": random.random(number) < 0.1,
            "line": np.zeros(number, np.int64),
            **dict.fromkeys(("difficult", "crowd"), np.zeros(number, bool)),
        }
    ).cast(KEY_SCHEMA)
    return table, dict.fromkeys(names, (0, KEYS * GAP - 1, 1))


def numpy_a_track(tracks: list[tuple[str, int, pd.DataFrame]]) -> pd.DataFrame:
    """Use `numpy.interp` for each side of each track (ignoring gaps), then make one table."""
    parts = []
    for video, track, keys in tracks:
        key_frames = keys["frame"].to_numpy()
        frames = np.arange(key_frames[0], key_frames[-1])
        before = np.searchsorted(key_frames, frames, side="right") - 1
        parts.append(
            pd.DataFrame(
                {
                    "video": video,
                    "frame": frames,
                    "track_id": track,
                    "label": keys["label"].iloc[0],
                    **{side: np.interp(frames, key_frames, keys[side]) for side in SIDES},
                    "occluded": keys["occluded"].to_numpy()[before],
                    "keyframe": key_frames[before] == frames,
                    "method": np.where(key_frames[before] == frames, "key", "linear"),
                }
            )
        )
    return pd.concat(parts)


def dictionaries_a_frame(tracks: list[tuple[str, int, list[dict[str, Any]]]]) -> pa.Table:
    """Make one dictionary per box, as annotation servers and their clients do."""
    rows = []
    for video, track, keys in tracks:
        for key, following in pairwise(keys):
            if key["outside"]:
                continue
            for frame in range(key["frame"], following["frame"]):
                offset = (frame - key["frame"]) / (following["frame"] - key["frame"])
                sides = {side: key[side] + offset * (following[side] - key[side]) for side in SIDES}
                rows.append(
                    {
                        "video": video,
                        "frame": frame,
                        "track_id": track,
                        "label": key["label"],
                        **sides,
                        "occluded": key["occluded"],
                        "keyframe": offset == 0,
                        "method": "linear" if offset else "key",
                    }
                )
    return pa.Table.from_pylist(rows, BOX_SCHEMA)


def _millions_a_second(run: Callable[[], object], boxes: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return boxes / best / 1e6


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure the boxes per second of every side, on one core.

    Args:
        rounds: Turns of our side; the best counts. The other sides, which take long, get two turns
            on a share of the tracks.
    """
    cores = os.sched_getaffinity(0)
    threads = pa.cpu_count()
    os.sched_setaffinity(0, {min(cores)})
    pa.set_cpu_count(1)
    try:
        keys, tasks = key_table()
        boxes = interpolate(keys, tasks)
        ours = {
            method: _millions_a_second(
                partial(interpolate, keys, tasks, method), boxes.num_rows, rounds
            )
            for method in METHODS
        }
        frame = keys.slice(0, TRACKS * KEYS).to_pandas()
        tracks = [(*name, rows) for name, rows in frame.groupby(["video", "track_id"])]
        some = [(v, t, rows.to_dict("records")) for v, t, rows in tracks[: TRACKS // 4]]
        reference = numpy_a_track(tracks)
        _compare(boxes.slice(0, len(reference)), reference)
        per_track = TRACKS * GAP * (KEYS - 1)
        theirs = {
            "NumPy per track": _millions_a_second(lambda: numpy_a_track(tracks), per_track, 2),
            "a dictionary per box": _millions_a_second(
                lambda: dictionaries_a_frame(some), per_track // 4, 2
            ),
        }
    finally:
        os.sched_setaffinity(0, cores)
        pa.set_cpu_count(threads)
    unit = "million boxes/s"
    return [
        Row("interpolation, linear", ours["linear"], 0.0, unit, ours["linear"], FLOOR),
        Row("interpolation, cubic", ours["cubic"], 0.0, unit, ours["cubic"], 0.0),
        *(
            Row(
                f"interpolation, linear / {name}",
                ours["linear"],
                speed,
                unit,
                ours["linear"] / speed,
                1.0,
            )
            for name, speed in theirs.items()
        ),
    ]


def _compare(ours: pa.Table, theirs: pd.DataFrame) -> None:
    """Check that both sides made the same boxes; otherwise the comparison is meaningless."""
    reference = theirs.sort_values(["video", "frame", "track_id"])
    for column in reference.columns:
        mine, other = ours[column].to_pandas().to_numpy(), reference[column].to_numpy()
        same = np.allclose(mine, other) if column in SIDES else (mine == other).all()
        if not same:
            raise AssertionError(f"the sides differ in {column}")


if __name__ == "__main__":
    print_table(measure())
