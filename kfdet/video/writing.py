"""Pictures to a video that every player shows: H.264 in MP4."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""

_CLOCK = Fraction(1, 90_000)
"""Fine enough for the time stamps of every usual frame rate."""

_OPTIONS = {"preset": "ultrafast", "crf": "23"}
"""x264's fastest: the model needs the processor."""


class VideoEncoder:
    """Encodes a video picture by picture; each is shown from its own time on.

    The last frame is shown for as long as the frame before it.

    Use it in a `with` block: the file can be played once that has ended.

    Args:
        path: The file to write.

    Raises:
        OSError: It cannot be written; also where pictures are written.
    """

    def __init__(self, path: Path) -> None:
        self._container = av.open(f"file:{path}", "w", format="mp4")
        self._stream: Any = None
        self._last = -1

    def write(self, picture: Picture, seconds: float) -> None:
        """Add a picture that is shown from `seconds` on: all have the size of the first one.

        H.264 needs even sides: an odd last row or column is cut off.
        """
        if self._stream is None:
            height, width = picture.shape[:2]
            self._stream = self._container.add_stream("libx264", rate=30, options=dict(_OPTIONS))
            self._stream.width, self._stream.height = width // 2 * 2, height // 2 * 2
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = _CLOCK
            self._stream.codec_context.flags |= Flags.frame_duration
        cut = picture[: self._stream.height, : self._stream.width]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(cut), format="rgb24")
        time = max(round(seconds / _CLOCK), self._last + 1)
        if self._last >= 0:
            frame.duration = time - self._last  # holds for the last one, which has no next one
        self._last = frame.pts = time
        frame.time_base = _CLOCK
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._stream is not None and kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
