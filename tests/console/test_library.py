"""The functions of the Python API: what they refuse. What they do, their examples show."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.square_video import write_square_annotation, write_square_video

import kfdet


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    video = write_square_video(folder / "square.mp4")
    write_square_annotation(folder / "square.xml", video.name)
    return folder


@pytest.mark.parametrize("function", [kfdet.run, kfdet.check])
def test_a_parameter_of_an_unknown_name(function: Any, tmp_path: Path) -> None:
    folders = [tmp_path, tmp_path / "run"][: 2 if function is kfdet.run else 1]
    with pytest.raises(TypeError, match=r"no parameter 'stepz'. Did you mean 'steps'"):
        function(*folders, stepz=3)
    with pytest.raises(TypeError, match=r"no parameter 'x'. help\(kfdet.Parameters\) has all"):
        function(*folders, x=3)


def test_check_refuses_a_wrong_value(videos: Path) -> None:
    with pytest.raises(kfdet.InputError, match=r"val_share must be 0.01 to 0.9, got 2.0"):
        kfdet.check(videos, val_share=2, show_progress=False)


def test_lists_and_mappings(videos: Path) -> None:
    found = kfdet.check(videos, rename={"square": "box"}, labels=["box"], show_progress=False)
    assert list(found.summary.labels) == ["box"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "the grid names no parameter"),
        ({"stepz": [1, 2]}, "no training parameter 'stepz'. Did you mean 'steps'"),
        ({"steps": []}, "the grid gives steps no value"),
        ({"learning_rate": "0.001..0.02"}, "has a range, from which values are drawn"),
    ],
)
def test_a_grid_is_checked(grid: Any, message: str, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(kfdet.InputError, match=message):
        kfdet.sweep(videos, tmp_path / "sweep", grid)
    assert not (tmp_path / "sweep").exists()


def test_a_checkpoint_may_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(kfdet.InputError, match="none: no such checkpoint"):
        kfdet.run(tmp_path, tmp_path / "run", pretrained=tmp_path / "none")


def test_a_dataset_is_loaded_from_a_folder_only(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(kfdet.InputError, match=r"minio://b/x: is not on this machine. Copy it"):
        kfdet.load_dataset("minio://b/x")
    path = shutil.make_archive(str(tmp_path / "toys"), "zip", videos)
    with pytest.raises(kfdet.InputError, match=r"toys\.zip: is a zip.* Unpack it"):
        kfdet.load_dataset(path)


def test_interpolation_has_four_methods(videos: Path) -> None:
    dataset = kfdet.load_dataset(videos)
    assert set(kfdet.interpolate(dataset, "cubic")["method"].to_pylist()) <= {"key", "linear"}
    assert "tracked" in kfdet.interpolate(dataset, "tracked")["method"].to_pylist()
    with pytest.raises(kfdet.InputError, match="auto, linear, cubic, tracked, got 'spline'"):
        kfdet.interpolate(dataset, "spline")  # type: ignore[arg-type]
