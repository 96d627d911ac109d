"""What the TFLite models lose and gain beside the SavedModel that they were made from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfdet.detection import Detections
from kfdet.evaluation.attribution import attribute, weigh
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.matching import to_found
from kfdet.evaluation.model_run import ModelRun, answer, load_detector
from kfdet.events import Progress
from kfdet.parameters import Precision
from kfdet.records.reading import Records

_MOST_PICTURES = 200


def compare_tflite(
    records: Records,
    files: Mapping[Precision, Path],
    run: ModelRun,
    labels: Sequence[str],
    *,
    most: int = _MOST_PICTURES,
) -> dict[str, dict[str, Any]]:
    """Measure TFLite models on the pictures of a split, evenly spread if there are too many.

    Args:
        records: The records.
        files: The models by precision.
        run: The SavedModel's answers to that split.
        labels: Label names; class id = position + 1.
        most: How many pictures to measure at most.

    Returns:
        For each precision `AP50`, `AP50_saved_model` on the same pictures, how many `pictures` that
        are, `megabytes`, and `ms_per_image` (median, with JPEG decoding).
    """
    everything = range(len(run.truths))
    measured = [i for i in everything if run.truths[i].measured] or everything
    chosen = measured[:: math.ceil(len(measured) / most)]
    truths = [run.truths[i] for i in chosen]
    before = _ap50(truths, [run.detections[i] for i in chosen], labels)
    jpegs = records.pictures(truth.source_id for truth in truths)
    pictures = [(jpeg, truth) for (_, jpeg), truth in zip(jpegs, truths, strict=True)]
    progress = Progress("TFLite models", len(files) * len(pictures), "images")
    found: dict[str, dict[str, Any]] = {}
    for precision, file in files.items():
        detections = []
        with load_detector(file, labels) as detector:
            for picture in pictures:
                detections += answer(detector, [picture], labels)
                progress.advance()
        seconds = [each.model_seconds or 0.0 for each in detections]
        found[precision] = {
            "AP50": _ap50(truths, detections, labels),
            "AP50_saved_model": before,
            "pictures": len(pictures),
            "megabytes": file.stat().st_size / 1e6,
            "ms_per_image": statistics.median(seconds) * 1000,
        }
    return found


def _ap50(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], labels: Sequence[str]
) -> float | None:
    found = [to_found(each, labels) for each in detections]
    attributions = [attribute(*pair) for pair in zip(truths, found, strict=True)]
    weights = weigh(truths, found, attributions)
    return evaluate_coco(truths, detections, labels, weights)[0].ap50
