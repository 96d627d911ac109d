"""Chosen frames of a video as JPEGs, as fast as the machine allows.

The decoder and the encoders work side by side in threads (all three libraries release Python's
lock). A frame is known by its time stamp, never by counting, wherever the stamps allow it: so the
decoder may seek to key frames and skip frames that no other frame needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from kfdet import events
from kfdet.errors import InputError
from kfdet.files import count_cores
from kfdet.video.jpeg import encode_frame
from kfdet.video.packets import PacketTable, decoded, open_video, scan
from kfdet.video.probe import VideoInfo, describe

# Decoders that can skip, packet by packet, frames that no other frame refers to.
_SKIPPING = frozenset(
    ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "vc1", "wmv3")
)
# Emptying and refilling the decoder costs about as much as decoding this many frames.
_SEEK_COST = 8


Frames = npt.NDArray[np.int64]
"""Rising 0-based frames of a video."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame of a video, or an image, as a JPEG.

    Args:
        frame: 0-based frame of the source.
        jpeg: The encoded picture, upright.
        width: Pixels of the picture.
        height: Pixels of the picture.
        source_width: Displayed width of the source.
        source_height: Displayed height of the source.
        seconds: Time since the first frame.
    """

    frame: int
    jpeg: bytes
    width: int
    height: int
    source_width: int
    source_height: int
    seconds: float


def extract(
    path: Path,
    frames: Iterable[int] | None = None,
    *,
    longest_side: int = 0,
    quality: int = 92,
    table: PacketTable | None = None,
    pool: ThreadPoolExecutor | None = None,
    threads: int = 0,
) -> Iterator[EncodedFrame]:
    """Extract `frames` of the video `path`.

    Args:
        path: The video.
        frames: 0-based frames, in any order; all if None.
        longest_side: Shrink to this many pixels; 0 keeps the size.
        quality: JPEG quality, 1 to 100.
        table: The video's packets, if they were scanned before.
        pool: Threads that encode; one per core if None.
        threads: Decoder threads; 0 for one per core.

    Yields:
        Pictures in rising order; a frame that appears only when everything before it is decoded
        too (intra refresh) comes late. Frames that do not decode are left out, with a warning.

    Raises:
        InputError: Not a video, no such frame, or a bad parameter; raised at once.
    """
    if not 1 <= quality <= 100:
        raise InputError(f"quality must be 1 to 100, got {quality}.")
    if longest_side < 0:
        raise InputError(f"longest_side must be at least 0, got {longest_side}.")
    table = table or scan(path)
    info = describe(table)
    wanted = np.arange(table.frames) if frames is None else np.unique(np.fromiter(frames, np.int64))
    if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < table.frames:
        raise InputError(
            f"frames {wanted[0]} to {wanted[-1]} are asked for, the video has {table.frames}.",
            file=path,
        )
    if info.damage:
        events.warn(f"{path}: {info.damage}")
    return _pictures(path, table, info, wanted, longest_side, quality, pool, threads)


def _pictures(
    path: Path,
    table: PacketTable,
    info: VideoInfo,
    wanted: Frames,
    longest_side: int,
    quality: int,
    pool: ThreadPoolExecutor | None,
    threads: int,
) -> Iterator[EncodedFrame]:
    """Decode here, encode in `pool`, a few frames ahead of the caller."""

    def picture(number: int, frame: VideoFrame) -> EncodedFrame:
        jpeg, width, height = encode_frame(frame, info.rotation, longest_side, quality)
        if table.pts is not None:
            seconds = float((table.pts[number] - table.pts[0]) * table.time_base)
        else:
            seconds = number / info.fps if info.fps else 0.0
        return EncodedFrame(number, jpeg, width, height, info.width, info.height, seconds)

    done = 0
    lost: list[int] = []
    cores = count_cores()
    with ThreadPoolExecutor(cores) if pool is None else nullcontext(pool) as encoders:
        pending: deque[Future[EncodedFrame]] = deque()
        try:
            for number, frame in decode_frames(path, table, wanted, threads, lost):
                pending.append(encoders.submit(picture, number, frame))
                while len(pending) > 2 * cores or (pending and pending[0].done()):
                    yield pending.popleft().result()
                    done += 1
            while pending:
                yield pending.popleft().result()
                done += 1
        finally:
            for future in pending:
                future.cancel()
    if lost:
        events.warn(
            f"{path}: {len(lost)} of {len(wanted)} frames do not decode, the first is frame "
            f"{lost[0]}; {done} were extracted."
        )


def decode_frames(
    path: Path, table: PacketTable, wanted: Frames, threads: int, lost: list[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames with their numbers; those that do not decode go to `lost`."""
    if not len(wanted):
        return
    missing = set(wanted.tolist())
    if table.pts is not None:
        with open_video(path, threads) as (container, stream):
            for number, frame in _SeekingDecoder(container, stream, table).frames(wanted):
                if number in missing:
                    missing.remove(number)
                    yield number, frame
    if missing:
        numbers = _numbers(table)
        with open_video(path, 1 if table.damaged else threads) as (container, stream):
            for count, frame in enumerate(decoded(container, stream)):
                number = count if table.pts is None else numbers.get(frame.pts, -1)
                if number in missing:
                    missing.remove(number)
                    yield number, frame
                if not missing:
                    return
    lost.extend(sorted(missing))


def _numbers(table: PacketTable) -> dict[int | None, int]:
    """From time stamp to frame number; empty where the stamps say nothing."""
    stamps = [] if table.pts is None else table.pts.tolist()
    return {stamp: number for number, stamp in enumerate(stamps)}


class _SeekingDecoder:
    """Decodes no more than the wanted frames need.

    Args:
        container: The video, just opened.
        stream: Its video stream.
        table: Its packets, with time stamps.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, table: PacketTable) -> None:
        self._table = table
        self._codec = stream.codec_context
        self._packets = container.demux(stream)
        self._numbers = _numbers(table)
        # Opened here: some decoders fix at that moment which frames they will ever skip.
        self._codec.open(strict=False)
        self._skips = self._codec.name in _SKIPPING

    def frames(self, wanted: Frames) -> Iterator[tuple[int, VideoFrame]]:
        """The wanted frames in display order; one that does not come out is left out."""
        for key, numbers in self._runs(wanted):
            for frame in self._run(key, numbers):
                number = self._numbers.get(frame.pts)
                if number in numbers:
                    yield number, frame
            self._codec.flush_buffers()

    def _runs(self, wanted: Frames) -> Iterator[tuple[int, set[int]]]:
        """Wanted frames that are best decoded in one go, with the key frame to start at.

        The key frame is -1 at the start of the file.
        """
        order, keys = self._table.order, self._table.keys
        before = np.searchsorted(keys, wanted, side="right") - 1
        start = np.concatenate([keys, [-1]])[before]
        # Compared in decode order, because frames shown before a key frame may come after it.
        sent = np.maximum.accumulate(order[wanted])
        leap = (start[1:] >= 0) & (order[start[1:]] > sent[:-1] + _SEEK_COST)
        for run in np.split(np.arange(len(wanted)), np.flatnonzero(leap) + 1):
            yield int(start[run[0]]), set(wanted[run].tolist())

    def _run(self, key: int, numbers: set[int]) -> Iterator[VideoFrame]:
        """Decode from the key frame until the last of `numbers` is in, then empty the decoder."""
        waiting = key >= 0
        left = set(numbers)
        for packet in self._packets:
            number = self._numbers.get(packet.pts)
            if packet.size == 0 or (waiting and number != key):
                continue
            waiting = False
            if self._skips:
                self._codec.skip_frame = "DEFAULT" if number in numbers else "NONREF"
            with suppress(av.FFmpegError):
                yield from packet.decode()
            left.discard(-1 if number is None else number)
            if not left:
                break
        with suppress(av.FFmpegError):
            yield from self._codec.decode(None)
