"""A picture on its way to the model, and the interface of what it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Protocol

from kfdet.parameters import StreamSettings

Kind = Literal["image", "video", "live"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture on its way to the model.

    Args:
        source: Name of its source.
        number: 0-based frame of the source; of a live source, 0 is the first one received.
        seconds: Time since the first frame.
        data: The encoded picture, upright: what the model gets, and what boxes are drawn on.
        width: Displayed width of the source in pixels; that of `data` may be smaller.
        height: Displayed height of the source in pixels.
        captured: When it was read, on the clock of time.monotonic().
        live: A newer frame may take its place while it waits for the model.
    """

    source: str
    number: int
    seconds: float
    data: bytes
    width: int
    height: int
    captured: float
    live: bool = False


class Source(Protocol):
    """A place that pictures come from."""

    @property
    def name(self) -> str:
        """What a user calls it: a path, an address without credentials, or "camera 0"."""

    @property
    def output(self) -> PurePosixPath:
        """Where its results belong below a folder; no two sources share it."""

    @property
    def kind(self) -> Kind:
        """One picture, a video of which no frame is lost, or live."""

    def open(self, settings: StreamSettings) -> tuple[int, Iterator[Frame]]:
        """Number of the chosen frames (0: not known), and these frames in their order.

        Raises:
            InputError: It cannot be read, or is no picture or video; also while frames are read.
        """
