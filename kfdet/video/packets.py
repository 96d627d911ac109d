"""The packets of a video file: how many frames there are, when each is shown, which are key.

A frame's number is its place in display order among the frames that a decoder puts out when it
reads the file from the start, which is how OpenCV and CVAT number frames too. Packets that an edit
list hides, that are never shown (VP8's alternate references) or that lean on a key frame before the
start of the file are therefore not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from kfdet.video.bitstream import look_for
from kfdet.video.ranged import Ranged
from kfdet.video.structure import is_whole, media_data

# Real containers only: FFmpeg would also open playlists, scripts and pictures named .mp4, some of
# which make it read other files or the network.
_FORMATS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg"
# One packet is one frame in these; elsewhere a packet may be a single field.
_ONE_PACKET_ONE_FRAME = ("mov", "matroska", "avi")
_FIELDS = 0.55
"""Frames a packet, where packets are fields."""
_INDEXED = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg")
"""Codecs of which FFmpeg gives the packets of an MP4 file as its index has them."""
_GAP = 1.75
"""Of the usual distance between frames: above it frames are missing from a damaged video. Films in
television's rate have frames of 1 and of 1.5."""

_MOST_LEADING = 64
"""Place in decode order of frames that lean on a key frame before the start of the file."""
_UNREADABLE = (av.FFmpegError, IndexError)
"""What PyAV raises in the midst of a file; the second for a stream that its start did not have."""
WAY_OUT = "Copy the video again from where it was recorded, or re-encode it with ffmpeg."


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames that are lost in a row.

    Args:
        frame: The number that the first of them has, or the first frame behind them has now.
        count: How many.
        kept: Whether lost frames keep their numbers: their packets are there, but do not decode.
    """

    frame: int
    count: int
    kept: bool


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
        losses: Where frames are missing or do not decode, as far as the time stamps tell.
        listed: Frames in an MP4 file's table, with those that it says not to show, or frames that
            should decode and do not all; else 0.
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
    losses: tuple[Loss, ...] = ()
    listed: int = 0


@contextmanager
def open_video(
    path: Path, threads: int = 0, content: BinaryIO | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `path` and its first video stream (cover pictures do not count).

    Args:
        path: The video.
        threads: Decoder threads, 0 for one per core.
        content: Its bytes, if they are elsewhere.

    Raises:
        InputError: The file is empty, is not a video, has no picture or an unknown codec.
    """
    if content is None:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror}.", file=path) from error
        if size == 0:
            raise InputError("the video is empty (0 bytes).", file=path, hint=WAY_OUT)
    try:
        container = av.open(
            # The prefix keeps a colon in the name from being taken for a network protocol.
            content or f"file:{path}",
            options={"format_whitelist": _FORMATS},
            metadata_errors="ignore",
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


def decoded(
    container: InputContainer,
    stream: VideoStream,
    errors: list[int] | None = None,
    most_broken: int = 0,
) -> Iterator[VideoFrame]:
    """Every frame from the container's position on; packets that do not decode are skipped.

    Give a damaged video to one thread: several would lose whole frames after a broken one.

    Args:
        container: The video.
        stream: Its video stream.
        errors: Gets the number of each packet behind the first frame that does not decode.
        most_broken: How many packets in a row may not decode; 0: any number.

    Raises:
        OSError: More than that do not.
    """
    packets = container.demux(stream)
    number, started, broken = -1, False, 0
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *_UNREADABLE):
            break
        if packet.size == 0:
            continue
        number += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if errors is not None and started:
                errors.append(number)
            broken += 1
            if 0 < most_broken < broken:
                raise OSError("its pictures cannot be decoded") from None
            continue
        if frames:
            started, broken = True, 0
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
    start = _start(path)
    with open_video(path) as (container, stream):
        packets = _packets(container, stream)
        # MP4's table of samples is exact; its count includes what an edit list leaves out. AVI has
        # empty entries for frames that are shown longer.
        filled = sum(entry.size > 0 for entry in stream.index_entries)
        cut_off = start.family in ("mov", "avi") and packets.count < filled
        track = stream.id
    damaged = not packets.whole or cut_off or not is_whole(path, start.family, packets.count, track)
    table = None if damaged else _table(start, packets)
    if table is not None and table.pts is not None:
        losses = _undecodable(path, table.pts) if packets.suspicious else ()
        return replace(table, damaged=table.damaged or bool(losses), losses=losses)
    errors: list[int] = []
    with open_video(path, threads=1 if damaged else 0) as (container, stream):
        frames = sum(1 for _ in decoded(container, stream, errors))
    known = np.sort(np.array([s for s in packets.stamps if s is not None], np.int64))
    gaps = _gaps(known, float(start.table.time_base), start.end)
    # Of interlaced film a packet may be one of a frame's two fields.
    fewest = 0 if start.family in _ONE_PACKET_ONE_FRAME else _FIELDS * len(known)
    lost = fewest < frames < len(known)
    if start.family == "mpegts":
        first = start.table.first.pts
        lost = lost or (first is not None and bool((known < first).any()))
        damaged = damaged or bool(gaps)
    damaged = damaged or lost or bool(errors)
    return replace(
        start.table,
        frames=frames,
        damaged=damaged,
        losses=gaps if damaged else (),
        listed=len(known) if lost else _listed(start, packets),
    )


def scan_index(path: Path, content: Ranged) -> PacketTable | None:
    """The table that `scan` gives of an undamaged video, without reading it whole.

    What is inside the frames is not looked at, but for the first one: damage there is not found,
    and `keys` are those that the container states.

    Args:
        path: The video's name.
        content: Its bytes; what is read are the beginning, the index and the first frames.

    Returns:
        None where only `scan` can tell: the container has no index of every frame, or the video is
        damaged.

    Raises:
        InputError: As `open_video`, or not one frame decodes.
    """
    start = _start(path, content.file())
    if start.family != "mov" or start.table.codec not in _INDEXED:
        return None
    parts = media_data(content)
    if parts is None:
        return None
    # FFmpeg goes through its index: the same packets in the same order, with nothing in them.
    with open_video(path, content=content.file(parts)) as (container, stream):
        packets = _packets(container, stream, look_inside=False)
        complete = packets.whole and packets.count == len(stream.index_entries)
        inside = all(entry.pos + entry.size <= len(content) for entry in stream.index_entries)
    table = _table(start, packets) if complete and inside else None
    return None if table is None or table.damaged else table


@dataclass(frozen=True, slots=True)
class _Start:
    """What a video tells before its packets are read.

    Args:
        table: What is known of it, without frames.
        family: The first of FFmpeg's names of its container.
        reorders: Its codec may show frames in another order than it stores them.
        end: Where it ends in seconds, by its header; 0 where that is not known.
    """

    table: PacketTable
    family: str
    reorders: bool
    end: float


def _start(path: Path, content: BinaryIO | None = None) -> _Start:
    """Open a video and decode its first frame.

    Raises:
        InputError: As `open_video`, or not one frame decodes.
    """
    with open_video(path, threads=1, content=content) as (container, stream):
        first = next(decoded(container, stream), None)
        if first is None:
            raise InputError("not one frame of the video can be decoded.", file=path, hint=WAY_OUT)
        none = np.array([], np.int64)
        table = PacketTable(
            frames=0,
            pts=None,
            order=none,
            keys=none,
            first=first,
            time_base=stream.time_base or Fraction(1),
            rate=stream.average_rate,
            codec=stream.codec_context.codec.canonical_name,
            declared=stream.frames,
            damaged=False,
        )
        return _Start(
            table,
            container.format.name.split(",")[0],
            stream.codec_context.reorder_depth > 0,
            container.duration / av.time_base if container.duration else 0.0,
        )


def _table(start: _Start, packets: _Packets) -> PacketTable | None:
    """The frames of the packets of an undamaged video; None where the stamps mislead.

    The table is damaged where frames are in an impossible place.
    """
    first, codec = start.table.first, start.table.codec
    stamps = packets.stamps
    pts = np.array([s for s in stamps if s is not None], np.int64)
    key = np.array([k for s, k in zip(stamps, packets.keys, strict=True) if s is not None], bool)
    order = np.argsort(pts, kind="stable")
    pts, key = pts[order], key[order]
    # Decode order where display order should be, as AVI has for H.264: such stamps mislead.
    in_order = bool(np.all(np.diff(order) > 0))
    misleading = in_order and (
        start.reorders or (start.family == "avi" and codec in ("h264", "hevc"))
    )
    trusted = (
        start.family in _ONE_PACKET_ONE_FRAME
        and not misleading
        and len(pts) == len(stamps)
        and bool(np.all(np.diff(pts) > 0))
        and first.pts is not None
        and first.pts in pts
    )
    if not trusted:
        return None
    leading = int(np.searchsorted(pts, np.int64(first.pts or 0)))
    # Frames before the first one lean on a key frame that was cut away. Where they come long after
    # it, where one of them is a key frame or one is not even a frame, it is damage.
    misplaced = bool(leading) and (
        int(order[:leading].max()) > _MOST_LEADING or key[:leading].any() or packets.suspicious
    )
    pts, order, key = pts[leading:], order[leading:], key[leading:]
    return replace(
        start.table,
        frames=len(pts),
        pts=pts,
        order=order,
        keys=np.flatnonzero(key),
        damaged=bool(misplaced),
        listed=_listed(start, packets),
    )


def _listed(start: _Start, packets: _Packets) -> int:
    return max(start.table.declared, packets.count) if start.family == "mov" else 0


def _gaps(pts: npt.NDArray[np.int64], unit: float, end: float) -> tuple[Loss, ...]:
    """Where the stamps of a damaged video leave room for frames.

    Args:
        pts: Rising time stamps of the packets that are left.
        unit: Seconds of one unit.
        end: Where the video ends in seconds, by its header; 0 where that is not known.
    """
    steps = np.diff(pts)
    steps = steps[steps > 0]
    if not len(steps):
        return ()
    usual = float(np.median(steps))
    last = max((end - float(pts[-1]) * unit) / unit, usual) if end else usual
    wide = np.append(np.diff(pts), last) / usual
    return tuple(
        Loss(int(place) + 1, round(float(wide[place])) - 1, kept=False)
        for place in np.flatnonzero(wide > _GAP)
    )


def _undecodable(path: Path, pts: npt.NDArray[np.int64]) -> tuple[Loss, ...]:
    """The frames of a video whose packets are all there that do not decode."""
    with open_video(path, threads=1) as (container, stream):
        found = {frame.pts for frame in decoded(container, stream)}
    lost = np.array([stamp not in found for stamp in pts.tolist()])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    return tuple(
        Loss(int(start), int(stop - start), kept=True)
        for start, stop in edges.reshape(-1, 2).tolist()
    )


@dataclass(frozen=True, slots=True)
class _Packets:
    """Stamps and key flags of the shown packets, in the order of the file.

    Args:
        stamps: Presentation time stamps.
        keys: Whether decoding can start there.
        hidden: Packets that are not shown.
        whole: No packet is missing or marked as corrupt.
        suspicious: A packet does not look like a frame.
    """

    stamps: list[int | None]
    keys: list[bool]
    hidden: int
    whole: bool
    suspicious: bool

    @property
    def count(self) -> int:
        """Packets, shown or not."""
        return len(self.stamps) + self.hidden


def _packets(container: InputContainer, stream: VideoStream, look_inside: bool = True) -> _Packets:
    stamps: list[int | None] = []
    keys: list[bool] = []
    whole, suspicious, hidden = True, False, 0
    codec = stream.codec_context
    vp8 = codec.name in ("vp8", "libvpx")
    look = look_for(codec.codec.canonical_name, codec.extradata or b"") if look_inside else None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            whole = whole and not packet.is_corrupt
            if look is not None and not suspicious:
                suspicious = not look(memoryview(packet))
            # RFC 6386, section 9.1: bit 4 of a VP8 frame's first byte is show_frame.
            if packet.is_discard or (vp8 and not memoryview(packet)[0] & 0x10):
                hidden += 1
                continue
            stamps.append(packet.pts)
            keys.append(packet.is_keyframe)
    except _UNREADABLE:
        whole = False
    return _Packets(stamps, keys, hidden, whole, suspicious)
