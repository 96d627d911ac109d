"""Which errors and pictures the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import iou_matrix
from kfdet.detection import Detections
from kfdet.evaluation.error_analysis import ErrorAnalysis, FalsePositive, Miss
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.label_checks import LabelCheck

_ERRORS = 12
_TYPICAL = 6
_SAME_THING = 0.3  # IoU within one video from which two errors are likely about one thing


@dataclass(frozen=True, slots=True)
class Selection:
    """What the gallery shows: the worst errors, labels to check, positions of typical images."""

    false_positives: list[FalsePositive]
    misses: list[Miss]
    typical: list[int]
    labels_to_check: list[LabelCheck]

    def images(self) -> set[int]:
        """Positions of all images that are needed."""
        wrong = {e.image for e in self.false_positives}
        checks = {check.image for check in self.labels_to_check}
        return wrong | {e.image for e in self.misses} | checks | set(self.typical)


def select(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    analysis: ErrorAnalysis,
    seed: int,
    labels_to_check: Sequence[LabelCheck] = (),
) -> Selection:
    """The highest-scored false positives, the largest misses, and random images with objects.

    An error that comes back at the same place of a video is shown once, unless there is room.
    Typical images are in chronological order.
    """
    wrong = [detections[e.image].boxes[e.detection] for e in analysis.false_positives]
    missed = [truths[e.image].boxes[e.box] for e in analysis.misses]
    videos = [truths[e.image].video for e in analysis.false_positives]
    missed_videos = [truths[e.image].video for e in analysis.misses]
    worst = _different(wrong, videos)
    largest = _different(missed, missed_videos)
    candidates = [i for i, truth in enumerate(truths) if truth.measured and not truth.crowd.all()]
    random = np.random.default_rng(seed)
    count = min(_TYPICAL, len(candidates))
    typical = random.choice(candidates, count, replace=False).tolist() if candidates else []
    return Selection(
        [analysis.false_positives[i] for i in worst],
        [analysis.misses[i] for i in largest],
        sorted(typical, key=lambda i: (truths[i].video, truths[i].frame)),
        list(labels_to_check[:_ERRORS]),
    )


def _different(boxes: Sequence[npt.NDArray[np.float64]], videos: Sequence[str]) -> list[int]:
    """The first positions whose boxes are not about the same thing; then, with room, the others."""
    chosen: list[int] = []
    repeated: list[int] = []
    for i, box in enumerate(boxes):
        if len(chosen) == _ERRORS:
            break
        near = [boxes[j] for j in chosen if videos[j] == videos[i]]
        same = bool(near) and iou_matrix(box[None], np.array(near)).max() > _SAME_THING
        (repeated if same else chosen).append(i)
    return sorted(chosen + repeated[: _ERRORS - len(chosen)])
