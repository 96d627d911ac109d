"""The measure that steers training: that of the evaluation, on the validation side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kfdet.detection import Detections
from kfdet.evaluation.attribution import attribute, weigh
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.ground_truth import GroundTruth, read_ground_truth
from kfdet.evaluation.matching import to_found
from kfdet.records.reading import Records
from kfdet.training.validation import Answer


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Judges answers to the validation pictures of some records, as evaluation would.

    Args:
        labels: Label names; class id = position + 1.
        truths: Every validation picture.
    """

    labels: tuple[str, ...]
    truths: list[GroundTruth]

    @classmethod
    def of(cls, records: Records) -> Validation:
        """Read the truth of `records`.

        Raises:
            InputError: There are no validation records.
        """
        return cls(records.labels, read_ground_truth(records))

    def __call__(self, answers: Mapping[int, Answer]) -> dict[str, float]:
        """AP, AP50 and AP75 on the pictures that were answered, 0 where nothing is to measure."""
        truths = [truth for truth in self.truths if truth.source_id in answers]
        detections = [self._detections(truth, answers[truth.source_id]) for truth in truths]
        found = [to_found(each, self.labels) for each in detections]
        attributions = [attribute(*pair) for pair in zip(truths, found, strict=True)]
        weights = weigh(truths, found, attributions)
        coco, _ = evaluate_coco(truths, detections, self.labels, weights)
        return {"AP": coco.ap or 0.0, "AP50": coco.ap50 or 0.0, "AP75": coco.ap75 or 0.0}

    def _detections(self, truth: GroundTruth, answer: Answer) -> Detections:
        return Detections(
            boxes=truth.to_source(answer.boxes),
            labels=tuple(self.labels[k - 1] for k in answer.classes.tolist()),
            scores=answer.scores,
            size=truth.stored,
        )
