from __future__ import annotations

import errno
from pathlib import Path, PurePosixPath
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from support.found_frames import SIZE, frame_with

from kfdet.detection.live import LiveSource
from kfdet.detection.sinks.drawn import DrawnSink, drawn_path
from kfdet.detection.sources import PictureSource, VideoSource
from kfdet.errors import InputError
from kfdet.video.writing import VideoEncoder


def drawn(value: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


def times(path: Path) -> list[float]:
    """When each frame of a video is shown."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (PictureSource(Path("in/a.png"), PurePosixPath("b/a.png")), "b/a.png"),
        (PictureSource(Path("a.tif"), PurePosixPath("a.tif")), "a.jpg"),
        (VideoSource(Path("a.b.avi"), PurePosixPath("a.b.avi")), "a.b.mp4"),
        (LiveSource.camera(1), "camera-1.mp4"),
        (LiveSource.stream("rtsp://10.0.0.1/live"), "10.0.0.1-live.mp4"),
    ],
)
def test_names_of_drawn_copies(source: Any, name: str) -> None:
    assert drawn_path(source, Path("out")) == Path("out", name)


def test_a_video_keeps_the_times_of_its_frames(tmp_path: Path) -> None:
    sink = DrawnSink({"film.avi": tmp_path / "film.mp4"})
    for number in (0, 1, 5, 20):
        sink.write(drawn(10 * number + 20), frame_with(number))
    sink.close()
    assert times(tmp_path / "film.mp4") == pytest.approx([0.0, 0.1, 0.5, 2.0])
    with av.open(str(tmp_path / "film.mp4")) as film:
        # the last frame lasts as long as the frame before
        assert film.duration / av.time_base == pytest.approx(3.5)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_the_copy_of_a_file_is_finished_when_the_next_begins(tmp_path: Path) -> None:
    sink = DrawnSink({name: tmp_path / f"{name}.mp4" for name in "ab"})
    sink.write(drawn(90), frame_with(0, source="a"))
    assert not (tmp_path / "a.mp4").exists()
    sink.write(drawn(90), frame_with(0, source="b"))
    assert (tmp_path / "a.mp4").exists()
    sink.close()
    assert len(times(tmp_path / "b.mp4")) == 1


def test_copies_of_live_sources_are_written_at_the_same_time(tmp_path: Path) -> None:
    sink = DrawnSink({name: tmp_path / f"{name}.mp4" for name in "ab"}, live="ab")
    for number in range(3):
        for name in "ab":
            sink.write(drawn(90), frame_with(number, source=name))
    sink.close()
    assert [len(times(tmp_path / f"{name}.mp4")) for name in "ab"] == [3, 3]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_picture_has_the_format_of_its_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"a{suffix}"
    sink = DrawnSink({"film.avi": path})
    sink.write(drawn(200), frame_with(0))
    sink.close()
    with Image.open(path) as image:
        assert image.size == SIZE
        assert np.asarray(image).mean() == pytest.approx(200, abs=2)


def test_odd_sides_lose_a_pixel(tmp_path: Path) -> None:
    with VideoEncoder(tmp_path / "a.mp4") as video:
        video.write(np.zeros((21, 41, 3), np.uint8), 0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (40, 20)


def test_a_disk_that_fills_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = DrawnSink({"film.avi": tmp_path / "film.mp4"})
    sink.write(drawn(0), frame_with(0))
    monkeypatch.setattr(VideoEncoder, "write", full)
    with pytest.raises(InputError, match="cannot write: No space left on device") as caught:
        sink.write(drawn(0), frame_with(1))
    assert caught.value.file == str(tmp_path / "film.mp4")
    assert "Free some space" in caught.value.hint
    sink.close()
    assert list(tmp_path.iterdir()) == []
