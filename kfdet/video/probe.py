"""The properties of a video, from its packets rather than its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.video.frame import VideoFrame

from kfdet.video.packets import PacketTable, scan


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video as a viewer sees it.

    Args:
        width: Displayed width in pixels, after rotation metadata.
        height: Displayed height in pixels, after rotation metadata.
        frames: Number of frames that decode.
        fps: Mean frames per second.
        rotation: Degrees counter-clockwise that a viewer turns the picture: 0, 90, 180 or 270.
        codec: FFmpeg's name of the codec.
        pix_fmt: FFmpeg's name of the pixel format.
        exact: False where the file is damaged, so that frames are missing or broken.
        declared: Number of frames that the header promises, 0 where it has no count.
    """

    width: int
    height: int
    frames: int
    fps: float
    rotation: int
    codec: str
    pix_fmt: str
    exact: bool
    declared: int = 0

    @property
    def damage(self) -> str:
        """One sentence about what is missing; "" where nothing is."""
        if self.exact:
            return ""
        if self.declared > self.frames:
            return (
                f"the video is cut off or damaged: {self.frames} of {self.declared} frames decode."
            )
        return f"the video is cut off or damaged: {self.frames} frames decode."


def probe(path: Path) -> VideoInfo:
    """Look at the packets of a video, and decode its first frame (all of them if it is damaged).

    Args:
        path: A video file.

    Returns:
        Its properties; `damage` describes what is missing from a file that was cut off.

    Raises:
        InputError: The file is empty, is not a video, has no picture, or not one frame decodes.
    """
    return describe(scan(path))


def describe(table: PacketTable) -> VideoInfo:
    """The properties of the video with these packets."""
    first = table.first
    rotation = turn(first)
    sides = (first.height, first.width) if rotation in (90, 270) else (first.width, first.height)
    return VideoInfo(
        width=sides[0],
        height=sides[1],
        frames=table.frames,
        fps=_frame_rate(table),
        rotation=rotation,
        codec=table.codec,
        pix_fmt=first.format.name,
        exact=not table.damaged,
        declared=table.declared,
    )


def turn(frame: VideoFrame) -> int:
    """Degrees counter-clockwise, a multiple of 90, that a viewer turns the stored picture."""
    return round(frame.rotation / 90) * 90 % 360


def _frame_rate(table: PacketTable) -> float:
    """The header's rate where the time stamps bear it out, else the mean over the video."""
    declared = float(table.rate or 0)
    if table.pts is None or len(table.pts) < 2:
        return declared
    seconds = float((table.pts[-1] - table.pts[0]) * table.time_base)
    measured = (len(table.pts) - 1) / seconds
    return declared if abs(declared - measured) < 0.01 * measured else measured
