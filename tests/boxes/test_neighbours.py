from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.neighbours import NO_KEY, Neighbours, key_neighbours
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA


def key(frame: int, x: float, *, track: int = 0, outside: bool = False) -> dict[str, object]:
    box = {"xmin": x, "ymin": 0.0, "xmax": x + 10, "ymax": 10.0, "rotation": 0.0}
    row = {"video": "v.mp4", "track_id": track, "label": "mug", "frame": frame, **box}
    return row | {
        "outside": outside,
        "occluded": False,
        "line": 0,
        "difficult": False,
        "crowd": False,
    }


def neighbours(*keys: dict[str, object], step: int = 1) -> tuple[pa.Table, Neighbours]:
    rows = pa.Table.from_pylist(list(keys), KEY_SCHEMA)
    table = interpolate(rows, {"v.mp4": (0, 20, step)})
    corners = np.stack([table[s].to_numpy() for s in ("xmin", "ymin", "xmax", "ymax")], axis=1)
    return table, key_neighbours(table, corners, np.full(len(table), step))


def test_no_boxes() -> None:
    found = key_neighbours(BOX_SCHEMA.empty_table(), np.zeros((0, 4)), np.zeros(0, np.int64))
    assert found.frames.shape == (0, 2)
    assert found.hulls.shape == (0, 4)


@pytest.mark.parametrize("step", [1, 2])
def test_between_keys(step: int) -> None:
    table, found = neighbours(key(0, 0), key(10, 50), key(14, 50, outside=True), step=step)
    frames = table["frame"].to_pylist()
    by_frame = dict(zip(frames, found.frames.tolist(), strict=True))
    hulls = dict(zip(frames, found.hulls.tolist(), strict=True))
    assert by_frame[0] == [0, 0]
    assert by_frame[4] == [0, 10]
    assert by_frame[10] == [10, 10]
    assert hulls[4] == [0, 0, 60, 10]
    # towards the frame from which on it is outside, which a person set, too
    assert by_frame[12] == [10, 14]


def test_after_the_last_key_there_is_none() -> None:
    table, found = neighbours(key(5, 0), key(8, 0))
    assert table["frame"].to_pylist()[-1] == 20
    assert found.frames[-1].tolist() == [8, NO_KEY]


def test_tracks_and_stretches_are_kept_apart() -> None:
    _, found = neighbours(
        key(0, 0), key(4, 40, outside=True), key(8, 200), key(10, 210, track=0),
        *(key(frame, 500, track=1) for frame in (0, 9)),
    )  # fmt: skip
    assert found.hulls[:, 2].max() == 510
    first = found.hulls[(found.hulls[:, 2] < 100)]
    assert first[:, 2].max() <= 50  # never to the place where the track appears again
