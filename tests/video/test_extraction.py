from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image
from support.numbered_video import (
    HEIGHT,
    KINDS,
    WIDTH,
    Kind,
    decoded_numbers,
    drawn,
    number_of,
    remux,
    write_video,
)

from kfdet.errors import InputError
from kfdet.video import extraction
from kfdet.video.extraction import extract
from kfdet.video.packets import open_video

Numbered = Callable[[str], Path]


@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_those_of_a_plain_decoder(numbered: Numbered, name: str) -> None:
    pictures = list(extract(numbered(name)))
    assert [picture.frame for picture in pictures] == list(range(60))
    assert [number_of(picture.jpeg) for picture in pictures] == list(range(60))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "frames",
    [
        [],
        [0],
        [59],
        list(range(0, 60, 7)),
        [5, 30, 55],
        [11, 12, 23, 24, 25, 35, 36, 47],
        [19, 20, 21, 39, 40, 41],
    ],
    ids=["none", "first", "last", "every 7th", "every 25th", "at keys", "at other keys"],
)
def test_part_is_the_same_as_in_the_whole(
    numbered: Numbered, name: str, frames: list[int], whole: Whole
) -> None:
    pictures = list(extract(numbered(name), frames))
    assert sorted(picture.frame for picture in pictures) == frames
    assert all(picture.jpeg == whole(name)[picture.frame] for picture in pictures)
    if "intra refresh" not in name:
        assert [picture.frame for picture in pictures] == frames


Whole = Callable[[str], dict[int, bytes]]


@pytest.fixture(scope="module")
def whole(numbered: Numbered) -> Whole:
    """A function that gives all JPEGs of a kind of video, by frame."""
    known: dict[str, dict[int, bytes]] = {}

    def pictures(name: str) -> dict[int, bytes]:
        if name not in known:
            known[name] = {p.frame: p.jpeg for p in extract(numbered(name))}
        return known[name]

    return pictures


@pytest.mark.parametrize(
    ("source", "shift", "first"),
    [("mp4, B-frames", -7, 7), ("mp4, B-frames", -25, 25), ("mov, open GOP", -25, 25)],
)
def test_frame_zero_is_the_first_one_that_an_edit_list_shows(
    numbered: Numbered, tmp_path: Path, source: str, shift: int, first: int
) -> None:
    path = tmp_path / f"edit{KINDS[source].suffix}"
    remux(numbered(source), path, shift=shift, options={"avoid_negative_ts": "disabled"})
    assert decoded_numbers(path) == list(range(first, 60))
    pictures = list(extract(path, [0, 1, 12, 30]))
    assert [number_of(p.jpeg) for p in pictures] == [first, first + 1, first + 12, first + 30]


def test_cut_off_video_gives_what_decodes_and_says_so(
    numbered: Numbered, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = remux(
        numbered("mp4, B-frames"), tmp_path / "whole.mp4", options={"movflags": "faststart"}
    )
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    pictures = list(extract(path))
    assert [number_of(p.jpeg) for p in pictures] == list(range(len(pictures)))
    assert f"{len(pictures)} of 60 frames decode" in caplog.text


def test_broken_frames_leave_the_others_their_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = Kind(".mkv", "mjpeg", {"q": "3"}, pix_fmt="yuvj420p")
    path = write_video(tmp_path / "broken.mkv", kind)
    data = bytearray(path.read_bytes())
    starts = [n for n in range(len(data)) if data[n : n + 3] == b"\xff\xd8\xff"]
    for frame in (10, 11):
        data[starts[frame] : starts[frame] + 300] = bytes(300)
    path.write_bytes(data)
    pictures = list(extract(path))
    assert all(number_of(p.jpeg) == p.frame for p in pictures)
    assert [p.frame for p in pictures] == [n for n in range(60) if n not in (10, 11)]
    assert "2 of 60 frames do not decode, the first is frame 10" in caplog.text


def test_seconds_follow_the_time_stamps(numbered: Numbered) -> None:
    pictures = list(extract(numbered("mp4, variable rate"), [0, 10, 11]))
    stamp = KINDS["mp4, variable rate"].pts
    expected = [(stamp(n) - stamp(0)) / 25 for n in (0, 10, 11)]
    assert [p.seconds for p in pictures] == pytest.approx(expected)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_pictures_are_upright(tmp_path: Path, rotation: int, pix_fmt: str) -> None:
    kind = Kind(".mp4", frames=1, rotation=rotation, pix_fmt=pix_fmt, options={"crf": "12"})
    (picture,) = extract(write_video(tmp_path / "v.mp4", kind), quality=95)
    upright = np.rot90(drawn(0), rotation // 90).astype(float)
    assert (picture.height, picture.width) == upright.shape
    assert (picture.source_height, picture.source_width) == upright.shape
    gray = np.asarray(Image.open(BytesIO(picture.jpeg)).convert("L"), float)
    assert np.abs(gray - upright).mean() < 4


@pytest.mark.parametrize(
    ("longest_side", "rotation", "size"),
    [
        (0, 0, (WIDTH, HEIGHT)),
        (1000, 0, (WIDTH, HEIGHT)),
        (88, 0, (88, 56)),
        (88, 90, (56, 88)),
        (75, 0, (75, 48)),
    ],
)
def test_longest_side_shrinks_only(
    tmp_path: Path, longest_side: int, rotation: int, size: tuple[int, int]
) -> None:
    video = write_video(tmp_path / "v.mp4", Kind(".mp4", frames=1, rotation=rotation))
    (picture,) = extract(video, longest_side=longest_side)
    assert (picture.width, picture.height) == Image.open(BytesIO(picture.jpeg)).size == size


def test_quality_changes_the_size(numbered: Numbered) -> None:
    low, high = (
        sum(len(p.jpeg) for p in extract(numbered("mp4, B-frames"), [3], quality=quality))
        for quality in (40, 95)
    )
    assert low < high / 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"quality": 0}, "quality must be 1 to 100, got 0"),
        ({"quality": 101}, "quality must be 1 to 100, got 101"),
        ({"longest_side": -1}, "longest_side must"),
        ({"frames": [3, 60]}, "the video has 60"),
        ({"frames": [-1]}, "the video has 60"),
    ],
)
def test_bad_argument_is_refused_at_once(
    numbered: Numbered, arguments: dict[str, int], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        extract(numbered("mp4, B-frames"), **arguments)  # type: ignore[arg-type]


class Counted:
    """A container whose packets are counted as they are decoded."""

    def __init__(self, container: Any, decoded: list[int]) -> None:
        self.container = container
        self.decoded = decoded

    def demux(self, stream: VideoStream) -> Iterator[Any]:
        for packet in self.container.demux(stream):
            yield SimpleNamespace(
                pts=packet.pts, size=packet.size, decode=lambda packet=packet: self.decode(packet)
            )

    def decode(self, packet: Any) -> list[Any]:
        self.decoded.append(packet.pts)
        return packet.decode()


def test_few_frames_of_many_decode_few(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeking to key frames is what makes sparse selections quick."""
    decoded: list[int] = []

    @contextmanager
    def open_counted(*arguments: Any) -> Iterator[tuple[Counted, VideoStream]]:
        with open_video(*arguments) as (container, stream):
            yield Counted(container, decoded), stream

    monkeypatch.setattr(extraction, "open_video", open_counted)
    assert [p.frame for p in extract(numbered("mp4, B-frames"), [1, 41])] == [1, 41]
    assert 2 <= len(decoded) < 16


def test_same_bytes_whatever_the_threads(numbered: Numbered) -> None:
    path = numbered("mov, open GOP")
    alone, many = ([p.jpeg for p in extract(path, range(0, 60, 3), threads=n)] for n in (1, 8))
    assert alone == many
