"""Everything that is measured of one model on one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfdet.detection import Detections
from kfdet.evaluation.attribution import attribute, weigh
from kfdet.evaluation.coco import CocoMetrics, Matches, evaluate_coco
from kfdet.evaluation.error_analysis import ErrorAnalysis, analyse
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.interval import Integers, ap50_interval, count_blocks, find_blocks
from kfdet.evaluation.label_checks import LabelCheck, check_labels
from kfdet.evaluation.matching import to_found
from kfdet.evaluation.truth import Truth, describe_truth


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What was measured.

    Args:
        coco: COCO's metrics.
        analysis: The errors, and the curves.
        truth: What it was measured on, with the interval of AP50.
        labels_to_check: Interpolated boxes that a sure detection contradicts, worst first.
        matches: By label, at IoU 0.5: to compare two models on the same pictures.
        blocks: The block of each picture (see `kfdet.evaluation.interval.find_blocks`).
    """

    coco: CocoMetrics
    analysis: ErrorAnalysis
    truth: Truth
    labels_to_check: list[LabelCheck]
    matches: list[Matches]
    blocks: Integers


def measure(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    rates: Mapping[str, float],
    *,
    side: str = "val",
    seed: int = 0,
) -> Measurement:
    """Measure a model's answers.

    Args:
        truths: Every picture of the split.
        detections: The answers in the same order, boxes in source pixels.
        labels: Label names; class id = position + 1.
        rates: Frames per second of every source that is a video.
        side: "val" or "test".
        seed: Seed of the bootstrap.
    """
    found = [to_found(answer, labels) for answer in detections]
    attributions = [attribute(*pair) for pair in zip(truths, found, strict=True)]
    weights = weigh(truths, found, attributions)
    coco, matches = evaluate_coco(truths, detections, labels, weights)
    blocks = find_blocks(truths, rates)
    interval = ap50_interval(matches, blocks, seed)
    analysis = analyse(truths, detections, labels, weights)
    return Measurement(
        coco=coco,
        analysis=analysis,
        truth=describe_truth(side, truths, interval, count_blocks(blocks)),
        labels_to_check=check_labels(truths, detections, attributions, analysis.threshold),
        matches=matches,
        blocks=blocks,
    )
