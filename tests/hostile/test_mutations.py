"""A short turn of the fuzzer, always the same one; `make fuzz` takes a long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fuzzing import (
    WRITTEN,
    Annotated,
    annotation_turn,
    image_turn,
    make_annotations,
    make_images,
    make_videos,
    video_turn,
)

VIDEOS = ("avi, MPEG-4", "mp4, B-frames", "webm, VP9")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Annotated]:
    return make_annotations(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", WRITTEN)
def test_annotations(sets: list[Annotated], tmp_path: Path, name: str) -> None:
    own = [each for each in sets if each.format == name]
    for number in range(24):
        annotation_turn(own[number % len(own)], number, tmp_path / "turn")
    assert [path.name for path in tmp_path.iterdir()] == ["turn"]


def test_videos(tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", VIDEOS)
    for number in range(18):
        video_turn(videos[number % len(videos)], number, tmp_path / "turn")


def test_images(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    for number in range(5 * len(images)):
        image_turn(images[number % len(images)], number, tmp_path / "turn")
