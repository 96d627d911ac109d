from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import defusedxml.ElementTree
import numpy as np
import pyarrow as pa
import pytest

from kfdet.boxes.interpolation import Method, Task, interpolate
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA, UNTRACKED, iou_matrix
from kfdet.errors import InputError

SQUARE = (0.0, 0.0, 10.0, 10.0)


def key(
    frame: int,
    box: tuple[float, ...] = SQUARE,
    *,
    video: str = "v.mp4",
    track: int = 0,
    outside: bool = False,
    occluded: bool = False,
    rotation: float = 0.0,
    label: str = "cup",
) -> dict[str, object]:
    edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, box), strict=True))
    return {
        "video": video,
        "track_id": track,
        "label": label,
        "frame": frame,
        **edges,
        "rotation": rotation,
        "outside": outside,
        "occluded": occluded,
        "line": frame + 100,
    }


def run(
    keys: Sequence[dict[str, object]], task: Task = (0, 9, 1), method: Method = "linear"
) -> pa.Table:
    table = pa.Table.from_pylist(list(keys), KEY_SCHEMA)
    return interpolate(table, {str(k["video"]): task for k in keys}, method)


def coordinates(table: pa.Table) -> np.ndarray:
    return np.column_stack([table.column(c).to_numpy() for c in ("xmin", "ymin", "xmax", "ymax")])


SHIFTED = (10.0, 0.0, 20.0, 10.0)


@pytest.mark.parametrize(
    ("keys", "task", "frames", "methods"),
    [
        ([], (0, 9, 1), [], []),
        ([key(8)], (0, 9, 1), [8, 9], ["key", "propagated"]),
        ([key(9)], (0, 9, 1), [9], ["key"]),
        ([key(0), key(2), key(9, outside=True)], (0, 9, 2), [0, 2, 4, 6, 8], "kklll"),
        ([key(0), key(3, outside=True)], (0, 9, 1), [0, 1, 2], "kll"),
        ([key(0, outside=True), key(3)], (0, 4, 1), [3, 4], "kp"),
        ([key(0), key(1, outside=True), key(5), key(6)], (0, 7, 1), [0, 5, 6, 7], "kkkp"),
        ([key(0), key(2, outside=True), key(4, outside=True)], (0, 9, 1), [0, 1], "kl"),
        ([key(2, track=UNTRACKED), key(2, track=UNTRACKED)], (0, 9, 1), [2, 2], "kk"),
        ([key(100), key(110)], (100, 114, 5), [100, 105, 110], "klk"),
        ([key(7), key(13)], (10, 14, 2), [10, 12, 14], "llp"),
        ([key(9), key(12)], (0, 10, 1), [9, 10], "kl"),
        ([key(20)], (0, 10, 1), [], []),
        ([key(3), key(0)], (0, 3, 1), [0, 1, 2, 3], "kllk"),
    ],
    ids=[
        "no keys",
        "propagated to the task's end",
        "key on the last frame",
        "towards outside, every second frame",
        "gone from the outside key on",
        "outside first",
        "comes back",
        "outside twice",
        "untracked boxes stay on their frame",
        "task with start and step",
        "key before the task and off its grid",
        "key after the task",
        "only keys after the task",
        "keys out of order",
    ],
)
def test_which_frames_have_a_box(
    keys: list[dict[str, object]], task: Task, frames: list[int], methods: list[str] | str
) -> None:
    short = {"k": "key", "l": "linear", "p": "propagated"}
    table = run(keys, task)
    assert table.schema == BOX_SCHEMA
    assert table.column("frame").to_pylist() == frames
    assert table.column("method").to_pylist() == [short.get(m, m) for m in methods]
    assert table.column("keyframe").to_pylist() == [m in {"k", "key"} for m in methods]


def test_boxes_move_linearly_and_towards_an_outside_key() -> None:
    keys = [key(0), key(4, SHIFTED), key(6, SQUARE, outside=True)]
    assert coordinates(run(keys))[:, 0].tolist() == [0, 2.5, 5, 7.5, 10, 5]


def test_occluded_is_copied_from_the_key_before_and_label_from_its_track() -> None:
    keys = [key(0, occluded=True), key(2, label="cup"), key(4, occluded=True)]
    table = run(keys, (0, 5, 1))
    assert table.column("occluded").to_pylist() == [True, True, False, False, True, True]
    assert set(table.column("label").to_pylist()) == {"cup"}


@pytest.mark.parametrize(
    ("before", "after", "middle"),
    [(0, 0, 0), (0, 90, 45), (350, 10, 0), (10, 350, 0), (90, 90, 90), (0, 180, 270)],
)
def test_rotation_turns_along_the_shorter_arc(before: float, after: float, middle: float) -> None:
    box = (100.0, 100.0, 140.0, 120.0)
    table = run([key(0, box, rotation=before), key(2, box, rotation=after)], (0, 2, 1))
    angle = np.radians(middle)
    half_width = 20 * abs(np.cos(angle)) + 10 * abs(np.sin(angle))
    half_height = 20 * abs(np.sin(angle)) + 10 * abs(np.cos(angle))
    expected = [120 - half_width, 110 - half_height, 120 + half_width, 110 + half_height]
    np.testing.assert_allclose(coordinates(table)[1], expected, atol=1e-9)


def test_rows_are_sorted_by_video_frame_and_track() -> None:
    keys = [key(f, video=v, track=t) for v in ("b", "a") for t in (3, 1) for f in (0, 70_000)]
    table = run(keys, (0, 70_000, 1))
    rows = list(zip(*(table.column(c).to_pylist() for c in BOX_SCHEMA.names[:3]), strict=True))
    assert rows == sorted(rows)
    assert len(set(rows)) == 4 * 70_001


def test_cubic_follows_a_curve_that_linear_cuts() -> None:
    def arc(frame: int) -> tuple[float, float, float, float]:
        x, y = 200 * np.cos(frame / 40), 200 * np.sin(frame / 40)
        return (x, y, x + 50, y + 50)

    keys = [key(f, arc(f)) for f in range(0, 61, 10)]
    truth = np.array([arc(f) for f in range(61)])
    errors = {
        method: np.abs(coordinates(run(keys, (0, 60, 1), method)) - truth).max()
        for method in ("linear", "cubic")
    }
    assert errors["cubic"] < errors["linear"] / 2


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [key(0), key(9, SHIFTED)],
        [key(0), key(2, SHIFTED, outside=True), key(5), key(9, SHIFTED)],
    ],
    ids=["no keys", "two keys", "two stretches with a break"],
)
def test_cubic_is_linear_with_too_few_keys(keys: list[dict[str, object]]) -> None:
    assert run(keys, method="cubic") == run(keys)


def test_cubic_does_not_swing_out_where_an_object_stops() -> None:
    path = {0: 0.0, 10: 100.0, 20: 200.0, 300: 200.0}
    keys = [key(f, (x, 0.0, x + 10, 10.0)) for f, x in path.items()]
    table = run(keys, (0, 300, 1), "cubic")
    assert coordinates(table)[:, 0].max() <= 210
    assert set(table.column("method").to_pylist()) == {"key", "cubic", "linear"}


def test_cubic_takes_no_notice_of_where_an_object_left() -> None:
    path = {0: 0.0, 10: 100.0, 20: 200.0}
    keys = [key(f, (x, 0.0, x + 90, 90.0)) for f, x in path.items()]
    gone = key(21, (200.0, 0.0, 290.0, 90.0), outside=True)
    assert coordinates(run([*keys, gone], (0, 25, 1), "cubic"))[:, 0] == pytest.approx(
        [10.0 * frame for frame in range(21)]
    )


def test_two_keys_on_one_frame_are_an_error_with_their_place() -> None:
    with pytest.raises(InputError, match=r"v\.mp4:103, frame 3: track 0 has two key boxes"):
        run([key(0), key(3), key(3)])


def test_a_video_without_a_task_is_an_error() -> None:
    with pytest.raises(InputError, match=r"v\.mp4: has boxes but no annotation task"):
        interpolate(pa.Table.from_pylist([key(0)], KEY_SCHEMA), {})


@pytest.mark.parametrize(
    ("name", "task", "rows"),
    [("pets/annotations.xml", (0, 794, 1), 4160), ("cvat/job_dump_traffic.xml", (0, 220, 1), 10)],
)
def test_linear_equals_the_boxes_that_cvat_dumped(
    shared_data: Path, name: str, task: Task, rows: int
) -> None:
    keys, dumped = [], {}
    for track in defusedxml.ElementTree.parse(shared_data / name).getroot().iter("track"):
        number = int(track.get("id"))
        for row in track.iter("box"):
            frame = int(row.get("frame"))
            box = tuple(float(row.get(c)) for c in ("xtl", "ytl", "xbr", "ybr"))
            outside, occluded = row.get("outside") == "1", row.get("occluded") == "1"
            if not outside:
                dumped[frame, number] = (*box, occluded)
            if row.get("keyframe") == "1":
                keys.append(key(frame, box, track=number, outside=outside, occluded=occluded))
    table = run(keys, task)
    place = list(zip(*(table.column(c).to_pylist() for c in ("frame", "track_id")), strict=True))
    assert table.column("keyframe").to_pylist().count(False) == rows
    assert place == sorted(dumped)
    truth = np.array([dumped[p] for p in place])
    # 0.01 px is what rounding the keys and the dumped boxes to two digits can add up to.
    assert np.abs(coordinates(table) - truth[:, :4]).max() <= 0.01 + 1e-9
    assert table.column("occluded").to_pylist() == truth[:, 4].astype(bool).tolist()


@pytest.mark.parametrize(
    ("spacing", "linear", "cubic"), [(10, 0.907, 0.936), (20, 0.768, 0.812), (30, 0.632, 0.705)]
)
def test_accuracy_on_true_boxes(
    shared_data: Path, spacing: int, linear: float, cubic: float
) -> None:
    rows = np.loadtxt(shared_data / "pets" / "groundtruth_mot.txt", delimiter=",")
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    begins = np.append(True, (np.diff(rows[:, 1]) != 0) | (np.diff(rows[:, 0]) > 1))
    track = np.cumsum(begins)
    since = np.arange(len(rows)) - np.flatnonzero(begins)[track - 1]
    is_key = (since % spacing == 0) | np.append(begins[1:], True)
    boxes = np.column_stack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
    frames = rows[:, 0].astype(int)
    keys = [key(frames[i], boxes[i], track=int(track[i])) for i in np.flatnonzero(is_key)]
    for method, expected in (("linear", linear), ("cubic", cubic)):
        table = run(keys, (1, 795, 1), method)
        place = zip(*(table.column(c).to_pylist() for c in ("track_id", "frame")), strict=True)
        found = dict(zip(place, coordinates(table), strict=True))
        ious = [
            iou_matrix(boxes[i : i + 1], found[track[i], frames[i]][None])[0, 0]
            for i in np.flatnonzero(~is_key)
        ]
        assert np.mean(ious) >= expected - 0.0005, method
