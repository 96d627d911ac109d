"""Boxes between key frames, found in the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.wandering_video import keys_of, wander, write_wandering_video

from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.tables import UNTRACKED, Boxes, iou_matrix
from kfdet.motion import tracking
from kfdet.motion.tracking import track_boxes

FRAMES = 90
EVERY_30 = [0, 30, 60, 89]


def overlaps(boxes: pa.Table, truth: Boxes) -> list[float]:
    """IoU of each box between key frames with the truth."""
    found = np.column_stack([boxes[side].to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")])
    return [
        float(iou_matrix(found[row : row + 1], truth[frame : frame + 1])[0, 0])
        for row, frame in enumerate(boxes["frame"].to_pylist())
        if not boxes["keyframe"][row].as_py()
    ]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video of a camera that stands still."""
    return write_wandering_video(tmp_path_factory.mktemp("video") / "v.mp4", wander(FRAMES))


@pytest.mark.parametrize("camera", [0.0, 1.0], ids=["still", "moving"])
def test_boxes_follow_the_object(tmp_path: Path, camera: float) -> None:
    truth = wander(FRAMES)
    video = write_wandering_video(tmp_path / "v.mp4", truth, camera=camera)
    guess = interpolate(keys_of(truth, EVERY_30, "v"), {"v": (0, FRAMES - 1, 1)}, "cubic")
    tracked = track_boxes(guess, video, step=1)
    assert np.mean(overlaps(guess, truth)) < 0.45
    assert np.mean(overlaps(tracked, truth)) > 0.85
    assert tracked.schema == guess.schema
    assert set(tracked["method"].to_pylist()) == {"key", "tracked"}


def test_of_many_frames_per_second_some_are_looked_at(tmp_path: Path) -> None:
    truth = wander(180, period=120)
    video = write_wandering_video(tmp_path / "v.mp4", truth, rate=30)
    guess = interpolate(keys_of(truth, [0, 60, 120, 179], "v"), {"v": (0, 179, 1)}, "cubic")
    assert np.mean(overlaps(guess, truth)) < 0.45
    assert np.mean(overlaps(track_boxes(guess, video, step=1), truth)) > 0.85


def test_a_task_with_a_step(still: Path) -> None:
    truth = wander(FRAMES)
    guess = interpolate(keys_of(truth, [1, 31, 61, 89], "v"), {"v": (1, 89, 2)}, "cubic")
    assert np.mean(overlaps(track_boxes(guess, still, step=2), truth)) > 0.85


def test_what_no_two_key_frames_enclose_stays(still: Path) -> None:
    truth = wander(FRAMES)
    ending = keys_of(truth, [0, 30, 50], "v")
    ending = ending.set_column(
        ending.schema.get_field_index("outside"), "outside", [[False, False, True]]
    )
    tables = [
        ending,
        keys_of(truth, [0, 30], "v", track=1),
        keys_of(truth, [0, 30], "v", track=2),
        keys_of(truth, [0, 30], "v", track=UNTRACKED),
    ]
    boxes = interpolate(pa.concat_tables(tables), {"v": (0, 40, 1)}, "cubic")
    tracked = track_boxes(boxes, still, step=1, left_out={2})
    moved = pc.equal(tracked["method"], "tracked")
    where = tracked.filter(moved)
    assert set(zip(*where.select(["track_id", "frame"]).to_pydict().values(), strict=True)) == {
        (track, frame) for track in (0, 1) for frame in range(1, 30)
    }
    assert tracked.filter(pc.invert(moved)) == boxes.filter(pc.invert(moved))


def test_far_apart_key_frames_are_left_alone(still: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = interpolate(keys_of(wander(FRAMES), EVERY_30, "v"), {"v": (0, FRAMES - 1, 1)}, "cubic")
    monkeypatch.setattr(tracking, "_LONGEST_GAP", 2.9)
    methods = track_boxes(boxes, still, step=1)["method"].to_pylist()
    assert set(methods[:60]) == {"key", "cubic"}
    assert set(methods[60:]) == {"key", "cubic"} | {"linear"} or "tracked" not in methods[:60]


def test_neither_cores_nor_batches_change_a_byte(
    still: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = wander(FRAMES)
    keys = pa.concat_tables([keys_of(truth, EVERY_30, "v", track) for track in range(3)])
    boxes = interpolate(keys, {"v": (0, FRAMES - 1, 1)}, "cubic")
    tables = []
    for cores in (1, 4):
        monkeypatch.setattr(tracking, "count_cores", lambda cores=cores: cores)
        tables.append(track_boxes(boxes, still, step=1))
    assert tables[0] == tables[1]


def test_several_batches_find_the_object(still: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_BATCH", 20)
    truth = wander(FRAMES)
    boxes = interpolate(keys_of(truth, EVERY_30, "v"), {"v": (0, FRAMES - 1, 1)}, "cubic")
    assert np.mean(overlaps(track_boxes(boxes, still, step=1), truth)) > 0.8
