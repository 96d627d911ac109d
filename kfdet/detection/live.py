"""Cameras and streams, which are taken up again when they go away."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from kfdet import events
from kfdet.detection.frame import Frame, Kind
from kfdet.errors import InputError, KfdetError
from kfdet.parameters import StreamSettings
from kfdet.video.limits import MAX_PICTURE_PIXELS

if TYPE_CHECKING:
    from av import FFmpegError, VideoFrame

SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "tcp", "udp")
_OPTIONS = {
    # Over UDP frames arrive broken; and a live picture is better now than smooth.
    "rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"},
}
_OPEN_SECONDS = 10.0
_READ_SECONDS = 30.0
"""How long a playing stream may send nothing; HLS has segments of up to 10 seconds."""
_RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""How long a source that was there before is waited for."""
_MOST_BROKEN = 1000
"""Packets in a row that may not decode: a stream that is joined late has some, before its next key
frame; one that has become something else has no others."""
_QUALITY = 92
_LONGEST_NAME = 60
"""Characters of a stream's address in the name of its results."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """One picture as it comes; `seconds` is None where the source has no end to be at."""

    jpeg: bytes
    width: int
    height: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A camera, or a stream from the network.

    A stream that has an end, such as a recording, is read as a file: no frame is lost, and it is
    not taken up again.
    """

    address: int | str
    name: str
    output: PurePosixPath
    kind: Kind = "live"

    @classmethod
    def camera(cls, number: int) -> Self:
        """The camera of this number."""
        return cls(number, f"camera {number}", PurePosixPath(f"camera-{number}"))

    @classmethod
    def stream(cls, url: str) -> Self:
        """The stream of this address; its name shows no user, password or token.

        Raises:
            InputError: It is the address of something else.
        """
        scheme, _, _ = url.partition("://")
        try:
            parts = urlsplit(url)
            # A password with a slash makes a path of what follows it.
            path = parts.path.rpartition("@")[2]
            place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{path}"
        except ValueError:
            place = ""
        if not url.isprintable():
            raise InputError(
                "the address of a stream has control characters.", hint="Write it without."
            )
        if scheme.lower() not in SCHEMES or not place:
            raise InputError(
                f"{scheme}://... is not the address of a stream.",
                hint=f"It begins with one of {', '.join(f'{each}://' for each in SCHEMES)}.",
            )
        output = re.sub(r"[^\w.-]+", "-", place)[:_LONGEST_NAME].strip("-.") or "stream"
        return cls(url, f"{scheme}://{place}", PurePosixPath(output))

    def open(self, settings: StreamSettings) -> tuple[int, Iterator[Frame]]:
        """The frames as they come; how many there will be is not known."""
        return 0, self._frames(settings)

    def _frames(self, settings: StreamSettings) -> Iterator[Frame]:
        begun = lost = 0.0
        number = -1
        while True:
            try:
                for shot in _shots(self.address, settings.longest_side):
                    now = time.monotonic()
                    begun = begun or now
                    live = shot.seconds is None
                    seconds = now - begun if shot.seconds is None else shot.seconds
                    if settings.stop and seconds >= settings.stop:
                        return
                    number, lost = number + 1, 0.0
                    if seconds >= settings.start and number % settings.every == 0:
                        size = (shot.width, shot.height)
                        yield Frame(self.name, number, seconds, shot.jpeg, *size, now, live)
                if begun and not live:
                    return
                problem = "there is no picture in it"
            except OSError as error:
                problem = error.strerror or str(error)
            if not begun:
                raise InputError(
                    f"cannot be opened: {problem}.",
                    file=self.name,
                    hint="Check that it is there and that no other program uses it."
                    if isinstance(self.address, int)
                    else "Check that the address plays in another program, such as VLC. User and "
                    "password belong in it: rtsp://USER:PASSWORD@HOST/PATH.",
                )
            now = time.monotonic()
            if not lost:
                events.warn(f"{self.name} is gone. Waiting for it.")
                lost = now
            elif now - lost > PATIENCE_SECONDS:
                raise KfdetError(f"{self.name} has been gone for {PATIENCE_SECONDS:.0f} s.")
            time.sleep(_RETRY_SECONDS)


def _shots(address: int | str, longest_side: int) -> Iterator[_Shot]:
    """The pictures of a camera or stream until it ends or goes away.

    Raises:
        OSError: It cannot be opened, or does not answer any more.
    """
    if isinstance(address, int):
        yield from _camera(address, longest_side)
    else:
        yield from _stream(address, longest_side)


def _camera(number: int, longest_side: int) -> Iterator[_Shot]:
    # The FFmpeg in PyAV has no cameras.
    import cv2
    import simplejpeg

    from kfdet.video.jpeg import fit

    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise OSError("no such camera")
        while True:
            there, picture = capture.read()
            if not there:
                return
            height, width = picture.shape[:2]
            size = fit(width, height, longest_side)
            if size != (width, height):
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            jpeg = simplejpeg.encode_jpeg(
                picture, _QUALITY, colorspace="BGR", colorsubsampling="420"
            )
            yield _Shot(jpeg, width, height, None)
    finally:
        capture.release()


def _stream(url: str, longest_side: int) -> Iterator[_Shot]:
    import av

    from kfdet.video.jpeg import encode_frame
    from kfdet.video.packets import decoded
    from kfdet.video.probe import turn

    options = _OPTIONS.get(url.partition(":")[0].lower().removesuffix("s"), {})
    started = time.monotonic()
    try:
        container = av.open(
            url,
            options=dict(options),
            timeout=(_OPEN_SECONDS, _READ_SECONDS),
            metadata_errors="ignore",
        )
    except av.FFmpegError as error:
        late = time.monotonic() - started >= _OPEN_SECONDS
        raise OSError(error.errno, _reason(url, error, late)) from error
    with container:
        if not container.streams.video:
            raise OSError("no video is in it")
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_PICTURE_PIXELS)}
        ends = bool(container.duration)
        if not ends:
            stream.codec_context.thread_type = "SLICE"  # frame threads hold frames back
        frames = decoded(container, stream, most_broken=_MOST_BROKEN)
        if container.format.name == "hls" and not ends:
            frames = _paced(frames)
        for frame in frames:
            rotation = turn(frame)
            jpeg, *_ = encode_frame(frame, rotation, longest_side, _QUALITY)
            size = (frame.width, frame.height)
            seconds = float(frame.time or 0.0) - (container.start_time or 0) / av.time_base
            yield _Shot(
                jpeg, *(size[::-1] if rotation % 180 else size), max(0.0, seconds) if ends else None
            )


def _paced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The frames at their own speed: HLS delivers those of several seconds at a time."""
    begun = 0.0
    for frame in frames:
        seconds = float(frame.time or 0.0)
        ahead = begun + seconds - time.monotonic()
        if not 0 <= ahead <= _READ_SECONDS:  # the first one, a late one, or a new clock
            begun, ahead = time.monotonic() - seconds, 0.0
        time.sleep(ahead)
        yield frame


def _reason(url: str, error: FFmpegError, late: bool) -> str:
    """Why a stream does not open; FFmpeg's own message often does not say."""
    if late:
        return f"no answer within {_OPEN_SECONDS:.0f} seconds"
    if error.errno == errno.EIO:
        try:
            socket.getaddrinfo(urlsplit(url).hostname, None)
        except (OSError, UnicodeError):
            return "its host name is not known"
        return "it does not send a video"
    if isinstance(error, ValueError):  # FFmpeg: invalid data
        return "it does not send a video"
    return error.strerror or str(error)
