"""The packets of a video file: how many frames there are, when each is shown, which are key.

A frame's number is its place in display order among the frames that a decoder puts out when it
reads the file from the start, which is how OpenCV and CVAT number frames too. Packets that an edit
list hides, that are never shown (VP8's alternate references) or that lean on a key frame before the
start of the file are therefore not counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from kfdet.errors import InputError

# Real containers only: FFmpeg would also open playlists, scripts and pictures named .mp4, some of
# which make it read other files or the network.
_FORMATS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg"
# One packet is one frame in these; elsewhere a packet may be a single field.
_ONE_PACKET_ONE_FRAME = ("mov", "matroska", "avi")
_SEGMENT = b"\x18\x53\x80\x67"

WAY_OUT = "Copy the video again from where it was recorded, or re-encode it with ffmpeg."


@dataclass(frozen=True, slots=True)
class PacketTable:
    """The frames of a video in display order.

    Args:
        frames: Number of frames that decode.
        pts: Presentation time stamp of each frame, strictly rising, in units of `time_base`; None
            where the stamps do not identify the frames, which must then be counted while decoding.
        order: Place of each frame in decode order, in step with `pts`.
        keys: Numbers of the frames at which decoding can start, rising; empty where `pts` is None.
        first: The first frame that decodes.
        time_base: Seconds of one unit of `pts`.
        rate: Frames per second by the header, None where it has no rate.
        codec: FFmpeg's name of the codec.
        declared: Number of frames that the header promises, 0 where it has no count.
        damaged: Whether packets are missing or broken.
    """

    frames: int
    pts: npt.NDArray[np.int64] | None
    order: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    first: VideoFrame
    time_base: Fraction
    rate: Fraction | None
    codec: str
    declared: int
    damaged: bool


@contextmanager
def open_video(path: Path, threads: int = 0) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `path` and its first video stream (cover pictures do not count).

    Args:
        path: The video.
        threads: Decoder threads, 0 for one per core.

    Raises:
        InputError: The file is empty, is not a video, has no picture or an unknown codec.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path) from error
    if size == 0:
        raise InputError("the video is empty (0 bytes).", file=path, hint=WAY_OUT)
    try:
        # The prefix keeps a colon in the name from being taken for a network protocol.
        container = av.open(
            f"file:{path}", options={"format_whitelist": _FORMATS}, metadata_errors="ignore"
        )
    except av.FFmpegError as error:
        raise _unreadable(error.strerror, path) from error
    with container:
        if not container.streams:
            raise _unreadable("nothing is in it", path)
        streams = [
            s for s in container.streams.video if Disposition.attached_pic not in s.disposition
        ]
        if not streams:
            raise InputError(
                "the file has no video stream.",
                file=path,
                hint="Take it out of the videos folder if it is a sound recording; "
                "copy it again if it was cut off.",
            )
        stream = streams[0]
        if stream.codec_context is None:
            raise InputError(
                "there is no decoder for this video.",
                file=path,
                hint="Re-encode it: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4",
            )
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        yield container, stream


def _unreadable(reason: str, path: Path) -> InputError:
    return InputError(
        f"this is not a video that can be read ({reason}).",
        file=path,
        hint="If the recording was cut off before its end, its table of frames is missing: "
        "repair it with a tool such as untrunc, or record it again.",
    )


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame from the container's position on; packets that do not decode are skipped.

    Give a damaged video to one thread: several would lose whole frames after a broken one.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            break
        if packet.size == 0:
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames
    try:
        yield from stream.codec_context.decode(None)
    except av.FFmpegError:
        return


def scan(path: Path) -> PacketTable:
    """Read all packets of `path` and decode the first frame (all of them where packets do not do).

    Raises:
        InputError: As `open_video`, or not one frame decodes.
    """
    with open_video(path, threads=1) as (container, stream):
        first = next(decoded(container, stream), None)
        declared, rate = stream.frames, stream.average_rate
        time_base = stream.time_base or Fraction(1)
        codec = stream.codec_context.codec.canonical_name
        reorders = stream.codec_context.reorder_depth > 0
        family = container.format.name.split(",")[0]
    if first is None:
        raise InputError("not one frame of the video can be decoded.", file=path, hint=WAY_OUT)
    with open_video(path) as (container, stream):
        stamps, keys, hidden, whole = _packets(container, stream)
        # MP4's table of samples is exact; its count includes what an edit list leaves out.
        cut_off = family == "mov" and len(stamps) + hidden < len(stream.index_entries)
    pts = np.array([s for s in stamps if s is not None], np.int64)
    key = np.array([k for s, k in zip(stamps, keys, strict=True) if s is not None], bool)
    order = np.argsort(pts, kind="stable")
    pts, key = pts[order], key[order]
    damaged = not whole or cut_off or _ends_early(path, family)
    # Decode order where display order should be, as AVI has for H.264: such stamps mislead.
    in_order = bool(np.all(np.diff(order) > 0))
    misleading = in_order and (reorders or (family == "avi" and codec in ("h264", "hevc")))
    trusted = (
        family in _ONE_PACKET_ONE_FRAME
        and not damaged
        and not misleading
        and len(pts) == len(stamps)
        and bool(np.all(np.diff(pts) > 0))
        and first.pts is not None
        and first.pts in pts
    )
    if not trusted:
        with open_video(path, threads=1 if damaged else 0) as (container, stream):
            frames = sum(1 for _ in decoded(container, stream))
        none = np.array([], np.int64)
        return PacketTable(
            frames, None, none, none, first, time_base, rate, codec, declared, damaged
        )
    leading = int(np.searchsorted(pts, np.int64(first.pts or 0)))
    pts, order, key = pts[leading:], order[leading:], key[leading:]
    keys_at = np.flatnonzero(key)
    return PacketTable(
        len(pts), pts, order, keys_at, first, time_base, rate, codec, declared, damaged
    )


def _packets(
    container: InputContainer, stream: VideoStream
) -> tuple[list[int | None], list[bool], int, bool]:
    """Stamps and key flags of the shown packets, how many are hidden, whether all are whole."""
    stamps: list[int | None] = []
    keys: list[bool] = []
    whole, hidden = True, 0
    vp8 = stream.codec_context.name in ("vp8", "libvpx")
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            whole = whole and not packet.is_corrupt
            # RFC 6386, section 9.1: bit 4 of a VP8 frame's first byte is show_frame.
            if packet.is_discard or (vp8 and not bytes(packet)[0] & 0x10):
                hidden += 1
                continue
            stamps.append(packet.pts)
            keys.append(packet.is_keyframe)
    except av.FFmpegError:
        whole = False
    return stamps, keys, hidden, whole


def _ends_early(path: Path, family: str) -> bool:
    """Whether an AVI or Matroska file is shorter than its outermost chunks say."""
    end = path.stat().st_size
    with path.open("rb") as file:
        if family == "avi":
            while file.read(4) == b"RIFF":
                file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)
                if file.tell() > end:
                    return True
        elif family == "matroska":  # RFC 8794, RFC 9559 section 5.1
            while (identity := _variable_integer(file)) and (size := _variable_integer(file)):
                bits = 7 * len(size)
                length = int.from_bytes(size, "big") & ((1 << bits) - 1)
                # All ones: the recorder did not know the size.
                if identity == _SEGMENT and length == (1 << bits) - 1:
                    return False
                file.seek(length, os.SEEK_CUR)
                if file.tell() > end:
                    return True
    return False


def _variable_integer(file: BinaryIO) -> bytes | None:
    """The bytes of a number whose leading zero bits say how many there are; None at the end."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    return first + file.read(8 - first[0].bit_length())
