"""What of a split is truth, how sure that makes AP50, and what to draw to make it surer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kfdet.evaluation.attribution import regions, undrawn
from kfdet.evaluation.ground_truth import GroundTruth

ENOUGH_BOXES = 20
"""With fewer drawn boxes there is no verdict: one object more or less moves AP50 by 5 %."""

SURE_BOXES = 200
"""With so many drawn boxes more of them change little: what is proposed ends here."""

MOST_PROPOSALS = 12
_GRID = 64  # cells per side of a picture, to add up areas that overlap


@dataclass(frozen=True, slots=True)
class Proposal:
    """A frame to draw fully: its source, its frame, and how many boxes are missing there."""

    video: str
    frame: int
    boxes: int


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of a split.

    Args:
        side: "val" or "test".
        frames: Pictures that are measured.
        boxes: Drawn boxes on them that have to be found.
        fully_drawn_frames: Measured pictures on which every visible object has a drawn box.
        partly_drawn_frames: Measured pictures on which some have.
        empty_frames: Measured pictures without an object.
        undrawn_boxes: Interpolated boxes on the partly drawn pictures: neither found nor missed.
        unpunished_share: Part of the measured pictures in which an undrawn object can be, where one
            detection for each is left out.
        AP50_interval: Where AP50 lies with a probability of 95 %; None with too few blocks.
        blocks: Videos, or stretches of time, over which the interval was resampled.
        draw: Frames to draw fully to make AP50 surer.
        AP50_interval_then: The width of the interval to expect with these; None without any.
    """

    side: str
    frames: int
    boxes: int
    fully_drawn_frames: int
    partly_drawn_frames: int
    empty_frames: int
    undrawn_boxes: int
    unpunished_share: float
    AP50_interval: tuple[float, float] | None
    blocks: int
    draw: list[Proposal]
    AP50_interval_then: float | None

    @property
    def width(self) -> float | None:
        """Width of the interval."""
        return self.AP50_interval and self.AP50_interval[1] - self.AP50_interval[0]


def describe_truth(
    side: str,
    truths: Sequence[GroundTruth],
    interval: tuple[float, float] | None,
    blocks: int,
) -> Truth:
    """Count what is truth.

    Args:
        side: "val" or "test".
        truths: All pictures, measured or not.
        interval: Of AP50.
        blocks: What it was resampled over.
    """
    measured = [truth for truth in truths if truth.measured]
    boxes = sum(int(truth.counted.sum()) for truth in measured)
    open_boxes = [int(undrawn(truth).sum()) for truth in measured]
    with_objects = [not truth.crowd.all() for truth in measured]
    draw = propose(truths, boxes)
    then = None
    if draw and interval and boxes:
        more = boxes + sum(frame.boxes for frame in draw)
        # The width falls with the root of the number of boxes.
        then = round((interval[1] - interval[0]) * (boxes / more) ** 0.5, 3)
    return Truth(
        side=side,
        frames=len(measured),
        boxes=boxes,
        fully_drawn_frames=sum(
            full and not missing for full, missing in zip(with_objects, open_boxes, strict=True)
        ),
        partly_drawn_frames=sum(missing > 0 for missing in open_boxes),
        empty_frames=with_objects.count(False),
        undrawn_boxes=sum(open_boxes),
        unpunished_share=round(float(np.mean([_unpunished(t) for t in measured] or [0.0])), 4),
        AP50_interval=interval,
        blocks=blocks,
        draw=draw,
        AP50_interval_then=then,
    )


def propose(truths: Sequence[GroundTruth], boxes: int) -> list[Proposal]:
    """Frames to draw fully, spread over time; none where SURE_BOXES are drawn, or all frames are.

    Args:
        truths: All pictures.
        boxes: How many are drawn.
    """
    candidates = [
        (truth, missing)
        for truth in sorted(truths, key=lambda truth: (truth.video, truth.frame))
        if (missing := int((undrawn(truth) & ~truth.difficult).sum()))
    ]
    if not candidates or boxes >= SURE_BOXES:
        return []
    mean = float(np.mean([missing for _, missing in candidates]))
    wanted = min(MOST_PROPOSALS, len(candidates), max(1, round((SURE_BOXES - boxes) / mean)))
    places = ((np.arange(wanted) + 0.5) * len(candidates) / wanted).astype(int)
    return [
        Proposal(candidates[i][0].video, candidates[i][0].frame, candidates[i][1]) for i in places
    ]


def _unpunished(truth: GroundTruth) -> float:
    """Part of the picture that the regions of undrawn objects cover."""
    covered: npt.NDArray[np.bool_] = np.zeros((_GRID, _GRID), bool)
    origin = np.tile(truth.window[:2], 2)
    cells = (regions(truth)[undrawn(truth)] - origin) / np.tile(truth.size, 2) * _GRID
    for left, top, right, bottom in np.clip(np.round(cells), 0, _GRID).astype(int).tolist():
        covered[top:bottom, left:right] = True
    return float(covered.mean())
