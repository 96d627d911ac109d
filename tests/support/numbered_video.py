"""Small videos whose frames carry their own number, in every kind that has its own traps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

WIDTH, HEIGHT, BLOCK = 176, 112, 16


def drawn(number: int) -> NDArray[np.uint8]:
    """A gray picture: 10 bits of `number` in the top row, inverted below, texture that moves."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = (128 + 60 * np.sin((x + 3 * number) / 7) * np.cos((y - number) / 9)).astype(np.uint8)
    for bit in range(10):
        value = 220 if number >> bit & 1 else 40
        columns = slice(bit * BLOCK, (bit + 1) * BLOCK)
        picture[:BLOCK, columns] = value
        picture[BLOCK : 2 * BLOCK, columns] = 260 - value
    return picture


def number_of(jpeg: bytes) -> int:
    """The number drawn into a picture; -1 if it is not readable."""
    gray = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0].astype(float)
    gray = gray[: 2 * BLOCK, : 10 * BLOCK].reshape(2, BLOCK, 10, BLOCK)[:, 4:12, :, 4:12]
    bits = gray.mean(axis=(1, 3)) > 128
    return int((bits[0] << np.arange(10)).sum()) if bool(np.all(bits[0] != bits[1])) else -1


@dataclass(frozen=True)
class Kind:
    """How a test video is made."""

    suffix: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    frames: int = 60
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    pts: Callable[[int], int] = lambda n: n
    container_options: dict[str, str] = field(default_factory=dict)


def write_video(path: Path, kind: Kind) -> Path:
    """Write the numbered frames as one video at 25 frames a second."""
    with av.open(str(path), "w", options=kind.container_options) as container:
        stream = container.add_stream(kind.codec, rate=25, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, kind.pix_fmt
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.thread_count = 1
        if kind.rotation:
            stream.set_display_rotation(kind.rotation)
        for number in range(kind.frames):
            frame = av.VideoFrame.from_ndarray(drawn(number), "gray").reformat(format=kind.pix_fmt)
            frame.pts = kind.pts(number)
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(
    source: Path,
    target: Path,
    *,
    skip: int = 0,
    shift: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Copy the packets from number `skip` on, `shift` frames later, without encoding."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size][skip:]
        for packet in packets:
            ticks = int(shift / 25 / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = copy
            writer.mux(packet)
    return target


# The look-ahead behind "mbtree" reads memory that x264 has not set: its bytes change between runs.
X264 = {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"}
B_FRAMES = X264 | {
    "x264-params": "mbtree=0:keyint=20:min-keyint=20:scenecut=0:bframes=3:b-pyramid=normal"
}
OPEN_GOP = X264 | {"x264-params": "mbtree=0:keyint=12:scenecut=0:bframes=3:open-gop=1:b-adapt=0"}
REFRESH = X264 | {"x264-params": "mbtree=0:keyint=15:intra-refresh=1:bframes=0"}
KINDS = {
    "mp4, B-frames": Kind(".mp4", options=B_FRAMES),
    "mov, open GOP": Kind(".mov", options=OPEN_GOP),
    "mkv, open GOP": Kind(".mkv", options=OPEN_GOP),
    "mp4, one GOP": Kind(".mp4", options=X264),
    "mkv, intra refresh": Kind(".mkv", options=REFRESH),
    "mp4, variable rate": Kind(
        ".mp4", options=B_FRAMES, pts=lambda n: 2 * n + n // 10 * 7 + (n % 3 == 0)
    ),
    "mp4, late start": Kind(".mp4", options=B_FRAMES, pts=lambda n: n + 100),
    "mkv, late start": Kind(".mkv", options=OPEN_GOP, pts=lambda n: n + 100),
    "mp4, fragments": Kind(
        ".mp4", options=B_FRAMES, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "mov, HEVC with open GOP": Kind(
        ".mov",
        "libx265",
        {"preset": "ultrafast", "x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"},
    ),
    "webm, alternate references": Kind(
        ".webm",
        "libvpx",
        {"auto-alt-ref": "1", "lag-in-frames": "12", "g": "20", "b": "600k", "cpu-used": "4"},
    ),
    "webm, VP9": Kind(
        ".webm", "libvpx-vp9", {"g": "20", "b": "600k", "cpu-used": "8", "deadline": "realtime"}
    ),
    "m4v, B-frames": Kind(".m4v", options=B_FRAMES),
    "3gp, MPEG-4": Kind(".3gp", "mpeg4", {"g": "12", "b": "900k"}),
    "mts, B-frames": Kind(".mts", options=B_FRAMES),
    "ts, MPEG-2 with B-frames": Kind(".ts", "mpeg2video", {"g": "12", "bf": "2", "b": "2M"}),
    "avi, MPEG-4": Kind(".avi", "mpeg4", {"g": "12", "b": "900k"}),
    "avi, MPEG-4 with B-frames": Kind(".avi", "mpeg4", {"g": "12", "bf": "2", "b": "900k"}),
    "mp4, MPEG-4 with B-frames": Kind(".mp4", "mpeg4", {"g": "12", "bf": "2", "b": "900k"}),
    "avi, Motion JPEG": Kind(".avi", "mjpeg", {"q": "3"}, pix_fmt="yuvj420p"),
    "avi, H.264": Kind(".avi", options=B_FRAMES),
}


def decoded_numbers(path: Path) -> list[int]:
    """The drawn numbers in the order in which a plain decoder puts the frames out."""
    found: list[int] = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with suppress(av.FFmpegError):
                for frame in packet.decode():
                    rgb = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                    found.append(number_of(simplejpeg.encode_jpeg(rgb, quality=90)))
    return found
