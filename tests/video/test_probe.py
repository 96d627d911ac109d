from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from support.numbered_video import HEIGHT, KINDS, WIDTH, Kind, decoded_numbers, remux, write_video

from kfdet.errors import InputError
from kfdet.video.probe import probe

Numbered = Callable[[str], Path]


@pytest.mark.parametrize("name", KINDS)
def test_counts_what_a_decoder_puts_out(numbered: Numbered, name: str) -> None:
    info = probe(numbered(name))
    assert (info.frames, info.width, info.height, info.exact) == (60, WIDTH, HEIGHT, True)
    assert info.damage == ""


@pytest.mark.parametrize(
    ("name", "fps"),
    [
        ("mp4, B-frames", 25.0),
        ("mp4, late start", 25.0),
        ("mkv, open GOP", 25.0),
        ("webm, VP9", 25.0),
        ("avi, MPEG-4", 25.0),
        ("mp4, variable rate", 59 / ((2 * 59 + 5 * 7 - 1) / 25)),
    ],
)
def test_frame_rate_follows_the_time_stamps(numbered: Numbered, name: str, fps: float) -> None:
    assert probe(numbered(name)).fps == pytest.approx(fps, rel=0.005)


@pytest.mark.parametrize(
    ("rotation", "size"),
    [(0, (WIDTH, HEIGHT)), (90, (HEIGHT, WIDTH)), (180, (WIDTH, HEIGHT)), (270, (HEIGHT, WIDTH))],
)
def test_size_is_as_displayed(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    video = write_video(tmp_path / "v.mp4", Kind(".mp4", frames=2, rotation=rotation))
    info = probe(video)
    assert (info.width, info.height, info.rotation) == (*size, rotation)


def test_names_codec_and_pixels(numbered: Numbered) -> None:
    info = probe(numbered("avi, Motion JPEG"))
    assert (info.codec, info.pix_fmt) == ("mjpeg", "yuvj420p")


@pytest.mark.parametrize(
    ("source", "skip", "shift", "frames"),
    [
        ("mp4, B-frames", 0, -7, 53),  # hidden by an edit list
        ("mp4, B-frames", 0, -25, 35),  # with a whole group of pictures
        ("mov, open GOP", 0, -25, 35),
        ("mp4, B-frames", 5, 0, 40),  # begins inside a group of pictures
        ("mov, open GOP", 12, 0, 48),  # begins with frames that lean on what was cut away
        ("mkv, open GOP", 12, 0, 48),
    ],
)
def test_does_not_count_hidden_frames(
    numbered: Numbered, tmp_path: Path, source: str, skip: int, shift: int, frames: int
) -> None:
    path = tmp_path / f"cut{KINDS[source].suffix}"
    if skip == 12:
        skip = _second_key(numbered(source))
    options = {"avoid_negative_ts": "disabled"} if shift else {}
    remux(numbered(source), path, skip=skip, shift=shift, options=options)
    info = probe(path)
    assert info.frames == len(decoded_numbers(path)) == frames
    assert info.exact
    assert (f"shows {frames} of the " in info.damage) == (path.suffix != ".mkv")


def _second_key(path: Path) -> int:
    with av.open(str(path)) as container:
        return [n for n, packet in enumerate(container.demux(video=0)) if packet.is_keyframe][1]


@pytest.mark.parametrize("declared", [0, 7, 1000])
def test_header_that_lies_does_not_matter(
    numbered: Numbered, tmp_path: Path, declared: int
) -> None:
    data = bytearray(numbered("avi, MPEG-4").read_bytes())
    frames_in_header = data.index(b"avih") + 8 + 16
    length_of_stream = data.index(b"strh") + 8 + 32
    for position in (frames_in_header, length_of_stream):
        assert int.from_bytes(data[position : position + 4], "little") == 60
        data[position : position + 4] = declared.to_bytes(4, "little")
    path = tmp_path / "liar.avi"
    path.write_bytes(data)
    info = probe(path)
    assert (info.frames, info.exact) == (60, True)
    assert info.declared == declared


@pytest.mark.parametrize(
    "name",
    [
        "mp4, B-frames",
        "mov, open GOP",
        "mkv, open GOP",
        "mp4, fragments",
        "webm, VP9",
        "webm, alternate references",
        "avi, MPEG-4",
        "avi, Motion JPEG",
        "mts, B-frames",
        "ts, MPEG-2 with B-frames",
    ],
)
@pytest.mark.parametrize("share", [0.95, 0.41])
def test_cut_off_video_says_what_decodes(
    numbered: Numbered, tmp_path: Path, name: str, share: float
) -> None:
    whole = numbered(name)
    if name in ("mp4, B-frames", "mov, open GOP"):
        whole = remux(whole, tmp_path / f"w{whole.suffix}", options={"movflags": "faststart"})
    data = whole.read_bytes()
    path = tmp_path / f"cut{whole.suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    info = probe(path)
    assert not info.exact
    assert 0 < info.frames == len(decoded_numbers(path)) < 60
    assert f"{info.frames} of 60 frames decode" in info.damage or info.declared == 0
    assert "cut off" in info.damage


def test_a_frame_that_a_transport_stream_lost_is_said(numbered: Numbered, tmp_path: Path) -> None:
    data = bytearray(numbered("mts, B-frames").read_bytes())
    with av.open(str(numbered("mts, B-frames"))) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    for place in range(places[30], places[31], 188):
        data[place + 2] ^= 0x10  # now part of an unknown stream
    path = tmp_path / "lost.mts"
    path.write_bytes(data)
    info = probe(path)
    assert info.frames < 60
    assert "of about 60 frames decode; lost: about 1 after frame" in info.damage


@pytest.mark.parametrize("damage", [bytes, lambda length: b"\xff" * length], ids=["0", "1"])
def test_frames_that_are_lost_at_the_start_are_said(
    numbered: Numbered, tmp_path: Path, damage: Callable[[int], bytes]
) -> None:
    whole = remux(numbered("mp4, B-frames"), tmp_path / "w.mp4")
    with av.open(str(whole)) as container:
        place = next(packet for packet in container.demux(video=0) if packet.is_keyframe).pos
    data = bytearray(whole.read_bytes())
    data[place : place + 400] = damage(400)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    info = probe(path)
    assert 0 < info.frames == len(decoded_numbers(path)) < 60
    assert f"{info.frames} of 60 frames decode" in info.damage


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"# Notes\nno video\n" * 100, "not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", "not a video"),
        (b"ffconcat version 1.0\nfile 'other.mp4'\n", "not a video"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(2000), "not a video"),
        (_sound, "no video stream"),
        (None, "cannot read"),
    ],
    ids=["empty", "text", "playlist", "script", "no table", "sound", "absent"],
)
def test_bad_file_is_named(
    tmp_path: Path, content: bytes | Callable[[Path], None] | None, problem: str
) -> None:
    path = tmp_path / "v.mp4"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        content(path)
    with pytest.raises(InputError, match=problem) as caught:
        probe(path)
    assert caught.value.file == str(path)


def test_recording_without_its_end_has_a_way_out(numbered: Numbered, tmp_path: Path) -> None:
    data = numbered("mp4, B-frames").read_bytes()
    path = tmp_path / "crashed.mp4"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="repair it"):
        probe(path)


def test_name_with_a_colon_is_a_file(numbered: Numbered, tmp_path: Path) -> None:
    path = tmp_path / "http:odd name%d.mp4"
    path.write_bytes(numbered("mp4, B-frames").read_bytes())
    assert probe(path).frames == 60


def test_real_video(shared_data: Path) -> None:
    info = probe(shared_data / "pets" / "vtest.avi")
    assert (info.width, info.height, info.frames, info.fps) == (768, 576, 795, 10.0)
