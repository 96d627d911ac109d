"""Boxes on every frame of videos, and the choice of the method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.wandering_video import keys_of, wander, write_wandering_video

from kfdet.boxes.interpolation import Task, interpolate
from kfdet.boxes.tables import UNTRACKED
from kfdet.motion.interpolation import choose_method, interpolate_videos

FRAMES = 160
TASK: dict[str, Task] = {"v.mp4": (0, FRAMES - 1, 1)}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object that turns about every three seconds."""
    return write_wandering_video(tmp_path_factory.mktemp("video") / "v.mp4", wander(FRAMES))


def every(spacing: int) -> pa.Table:
    """Keys of three tracks of the same object."""
    frames = [*range(0, FRAMES, spacing), FRAMES - 1]
    return pa.concat_tables([keys_of(wander(FRAMES), frames, "v.mp4", n) for n in range(3)])


def test_tracking_is_chosen_where_lines_and_curves_miss(video: Path) -> None:
    assert choose_method(every(20), TASK, video) == "tracked"


def test_curves_are_chosen_where_they_do(video: Path) -> None:
    assert choose_method(every(5), TASK, video) == "cubic"


def test_lines_are_chosen_where_too_few_keys_can_be_left_out(video: Path) -> None:
    assert choose_method(every(60), TASK, video) == "linear"


def test_the_video_is_not_opened_where_there_is_nothing_to_gain(tmp_path: Path) -> None:
    still = np.tile([10.0, 20.0, 40.0, 50.0], (FRAMES, 1))
    tables = [keys_of(still, list(range(0, FRAMES, 10)), "v.mp4", track) for track in range(3)]
    keys = pa.concat_tables(tables)
    assert choose_method(keys, TASK, tmp_path / "absent.mp4") == "linear"


def test_each_video_gets_its_method_and_images_stay(video: Path) -> None:
    images = pa.concat_tables(
        [keys_of(wander(1), [0], name, UNTRACKED) for name in ("z.jpg", "a.jpg")]
    )
    keys = pa.concat_tables([images, every(20)])
    tasks: dict[str, Task] = {**TASK, "a.jpg": (0, 0, 1), "z.jpg": (0, 0, 1)}
    table = interpolate_videos(keys, tasks, {"v.mp4": video})
    linear = interpolate(keys, tasks)
    names = ["video", "frame", "track_id", "keyframe"]
    assert table.schema == linear.schema
    assert table.select(names) == linear.select(names)
    assert set(table["method"].to_pylist()) == {"key", "tracked"}


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_methods_that_need_no_pictures(method: str) -> None:
    keys = every(20)
    assert interpolate_videos(keys, TASK, {}, method) == interpolate(keys, TASK, method)  # type: ignore[arg-type]


def test_without_keys_there_are_no_boxes() -> None:
    assert interpolate_videos(every(20)[:0], TASK, {}, "auto").num_rows == 0
