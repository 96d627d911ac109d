"""Runs a detector over the validation records: what is served is what is measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kfdet.detection import Detections, Detector
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.ground_truth import GroundTruth, count_pictures, read_ground_truth
from kfdet.evaluation.speed import BATCH_SIZE, Speed, measure_speed
from kfdet.events import Progress


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A split and the model's answers to it.

    Args:
        truths: Every picture, measured or only looked at.
        detections: The answers in the same order, boxes in source pixels.
        speed: How fast the model was.
    """

    truths: list[GroundTruth]
    detections: list[Detections]
    speed: Speed


def load_detector(model: Path, labels: Sequence[str]) -> Detector:
    """The detector at `model`, after a check that it knows the labels of the records.

    Args:
        model: As for `Detector.load`.
        labels: The labels of the records; they must be the model's, in the same order.

    Raises:
        InputError: No model, or other labels.
    """
    detector = Detector.load(model, threshold=0.0)  # the curves need every score
    if detector.labels != tuple(labels):
        found = list(detector.labels or ())
        raise InputError(
            f"the model's labels {found} are not the labels of the records {list(labels)}.",
            file=model,
            hint="Evaluate a model on records that were built with its labels.",
        )
    return detector


def run_model(records: Path, detector: Detector, side: str = "val") -> ModelRun:
    """Detect on every picture of a split of `records`, in batches, holding one batch in memory.

    Args:
        records: Folder with the split's TFRecords and examples.parquet.
        detector: As `load_detector` gives it.
        side: "val" or "test".

    Raises:
        InputError: There are no records of that split.
        KfdetError: The model answers with numbers that are not finite.
    """
    truths: list[GroundTruth] = []
    detections: list[Detections] = []
    progress = Progress("evaluation", count_pictures(records, side), "images")
    model_seconds = 0.0
    sample: list[bytes] = []
    source = read_ground_truth(records, side)
    while batch := list(itertools.islice(source, BATCH_SIZE)):
        images = [image for image, _ in batch]
        sample = sample or images
        for found, (_, truth) in zip(detector.detect_batch(images), batch, strict=True):
            model_seconds += found.model_seconds or 0.0
            truths.append(truth)
            detections.append(_to_source(found, truth))
        progress.advance(len(batch))
    return ModelRun(truths, detections, measure_speed(detector, sample, model_seconds))


def _to_source(found: Detections, truth: GroundTruth) -> Detections:
    """The detections in source pixels, without the picture: all of them are kept in memory."""
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise KfdetError(
            f"The model's answer to frame {truth.frame} of {truth.video} is not finite: "
            "its weights are broken. Train again with a lower learning rate."
        )
    return replace(found, boxes=truth.to_source(found.boxes), picture=None)
