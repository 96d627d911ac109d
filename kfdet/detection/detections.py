"""`Detections`: what a detector found on one picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import UNTRACKED, Boxes
from kfdet.errors import InputError, KfdetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

    from kfdet.detection.drawing import Color
    from kfdet.detection.pictures import Picture

DRAWN_SCORE = 0.3
"""`Detections.draw` leaves out detections below this score where no threshold is known."""


_SHOWN = 10
"""Detections that are listed where a notebook shows the value."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detections:
    """The objects found on one picture, best score first.

    Example:
        >>> found = Detections(
        ...     boxes=np.array([[20.0, 40.0, 200.0, 300.0], [5.0, 5.0, 60.0, 80.0]]),
        ...     labels=("mug", "robot"),
        ...     scores=np.array([0.93, 0.12]),
        ...     size=(640, 360),
        ... )
        >>> len(found)
        2
        >>> found.above(0.5).labels
        ('mug',)
        >>> found
        2 detections on a picture of 640x360 pixels
          93%  mug (20, 40, 200, 300)
          12%  robot (5, 5, 60, 80)

    Args:
        boxes: (N, 4) xmin, ymin, xmax, ymax in float pixels of the picture; right and bottom
            exclusive.
        labels: N label names.
        scores: (N,) 0 to 1, falling.
        size: Width and height of the picture in pixels.
        model_seconds: Time of the model for this picture (its share of a batch), JPEG decoding
            included; None if unknown.
        picture: The picture itself, for `draw`: encoded bytes or (height, width, 3) uint8 RGB.
        vocabulary: All labels that the detector knows, class id 1 first, so that `draw` gives each
            the colour that it has in the report; empty if unknown.
        threshold: The score below which detections were left out; None: nothing was left out.
        tracks: (N,) number of the object's track within its video, UNTRACKED for an object that
            belongs to none; None: nobody tracked them.
    """

    boxes: Boxes
    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    size: tuple[int, int]
    model_seconds: float | None = None
    picture: bytes | Picture | None = None
    vocabulary: tuple[str, ...] = ()
    threshold: float | None = None
    tracks: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        width, height = self.size
        noun = "detection" if len(self) == 1 else "detections"
        lines = [f"{len(self)} {noun} on a picture of {width}x{height} pixels"]
        rows = zip(self.names(), self.scores, self.boxes, strict=True)
        for name, score, box in islice(rows, _SHOWN):
            lines.append(f"  {score:3.0%}  {name} ({', '.join(f'{side:.0f}' for side in box)})")
        if len(self) > _SHOWN:
            lines.append(f"  ... and {len(self) - _SHOWN} more")
        return "\n".join(lines)

    def above(self, threshold: float | Mapping[str, float]) -> Self:
        """Only the detections with a score of at least `threshold`; a mapping has it by label."""
        if not isinstance(threshold, float | int):
            least = np.array([threshold.get(label, 0.0) for label in self.labels], np.float64)
            lowest = min(threshold.values(), default=0.0)
            return replace(self.where(self.scores >= least), threshold=lowest)
        return replace(self.where(self.scores >= threshold), threshold=float(threshold))

    def where(self, keep: npt.ArrayLike) -> Self:
        """Only the detections for which `keep`, shape (N,) of bool, is true."""
        mask = np.asarray(keep, bool)
        return replace(
            self,
            boxes=self.boxes[mask],
            labels=tuple(np.array(self.labels, object)[mask]),
            scores=self.scores[mask],
            tracks=None if self.tracks is None else self.tracks[mask],
        )

    def names(self) -> tuple[str, ...]:
        """N labels, with the number of the track where there is one: "mug #3"."""
        if self.tracks is None:
            return self.labels
        return tuple(
            label if track == UNTRACKED else f"{label} #{track}"
            for label, track in zip(self.labels, self.tracks.tolist(), strict=True)
        )

    def draw(
        self,
        picture: Picture | None = None,
        *,
        threshold: float | None = None,
        colors: Mapping[str, Color] | Sequence[Color] | None = None,
    ) -> Image.Image:
        """The picture with boxes, names and scores drawn on a copy of it.

        Args:
            picture: Draw on this picture (height, width, 3) uint8 RGB instead of the detected one.
            threshold: Leave out detections with a lower score. None: nothing more than was left
                out already, or those below DRAWN_SCORE where nothing was.
            colors: By label; by default those of the report, or else the label's text decides.

        Raises:
            InputError: These detections do not hold a picture, and none is given.
            KfdetError: Pillow or OpenCV is not installed.
        """
        try:
            from PIL import Image
        except ModuleNotFoundError as error:
            raise _no_drawing() from error
        from kfdet.detection.pictures import decode

        source = self.picture if picture is None else picture
        if source is None:
            raise InputError("these detections hold no picture.", hint="Give draw() one.")
        pixels = decode(source) if isinstance(source, bytes) else source
        if threshold is None:
            threshold = DRAWN_SCORE if self.threshold is None else 0.0
        return Image.fromarray(self.above(threshold).draw_on(pixels, colors))

    def draw_on(
        self, pixels: Picture, colors: Mapping[str, Color] | Sequence[Color] | None = None
    ) -> Picture:
        """A copy of `pixels` with all boxes, names and scores drawn on it.

        Args:
            pixels: (height, width, 3) uint8 RGB of the detected picture, of any size.
            colors: As for `draw`.

        Raises:
            KfdetError: Pillow or OpenCV is not installed.
        """
        try:
            from kfdet.detection.drawing import colors_of, draw_boxes, palette
        except ModuleNotFoundError as error:
            raise _no_drawing() from error
        scale = np.tile(np.array(pixels.shape[1::-1]) / np.array(self.size), 2)
        chosen = colors_of(self.labels, colors or palette(self.vocabulary) or None)
        return draw_boxes(pixels, self.boxes * scale, self.names(), self.scores, chosen)


def _no_drawing() -> KfdetError:
    return KfdetError(
        "Drawing needs the packages Pillow and OpenCV: pip install pillow opencv-python-headless."
    )
