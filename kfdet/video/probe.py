"""The properties of a video, from its packets rather than its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.video.frame import VideoFrame

from kfdet.video.packets import Loss, PacketTable, scan

_STRETCHES = 5
"""Of lost frames, in a message."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video as a viewer sees it.

    Args:
        width: Displayed width in pixels, after rotation metadata.
        height: Displayed height in pixels, after rotation metadata.
        frames: Number of frames; where packets of a damaged file are missing, of those that decode.
        fps: Mean frames per second.
        rotation: Degrees counter-clockwise that a viewer turns the picture: 0, 90, 180 or 270.
        codec: FFmpeg's name of the codec.
        pix_fmt: FFmpeg's name of the pixel format.
        exact: False where the file is damaged, so that frames are missing or broken.
        declared: Number of frames that the header promises, 0 where it has no count.
        losses: Where frames of a damaged file are lost, as far as that is known.
        listed: Frames in an MP4 file's table, with those that it says not to show, or frames that
            should decode and do not all; else 0.
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
    losses: tuple[Loss, ...] = ()
    listed: int = 0

    @property
    def damage(self) -> str:
        """One sentence about what is missing; "" where nothing is."""
        if self.exact and self.frames < self.listed:
            return (
                f"it shows {self.frames} of the {self.listed:,} frames in its table: an edit hides "
                "the others, or the table is damaged."
            )
        if self.exact:
            return ""
        undecodable = sum(loss.count for loss in self.losses if loss.kept)
        missing = sum(loss.count for loss in self.losses if not loss.kept)
        decodable = self.frames - undecodable
        total = max(self.declared, self.frames, self.listed)
        if total > decodable:
            text = f"{decodable} of {total} frames decode"
        elif missing:
            text = f"{decodable} of about {decodable + missing} frames decode"
        else:
            text = f"{decodable} frames decode"
        return f"the video is cut off or damaged: {text}{self._where()}."

    def _where(self) -> str:
        """Which frames are lost, of not too many stretches; "" where that is not known."""
        shown = []
        for loss in self.losses[:_STRETCHES]:
            if not loss.kept:
                shown.append(f"about {loss.count} after frame {loss.frame - 1}")
            elif loss.count == 1:
                shown.append(f"frame {loss.frame}")
            else:
                shown.append(f"frames {loss.frame} to {loss.frame + loss.count - 1}")
        more = len(self.losses) - len(shown)
        if more:
            shown.append(f"and {more} more stretches")
        return f"; lost: {', '.join(shown)}" if shown else ""


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
        losses=table.losses,
        listed=table.listed,
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
