"""Runs a detector over the validation records: what is served is what is measured."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kfdet.detection import Detections, Detector
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.comparison import common_labels
from kfdet.evaluation.ground_truth import GroundTruth, read_ground_truth
from kfdet.evaluation.speed import BATCH_SIZE, Speed, measure_speed
from kfdet.events import Progress
from kfdet.records.reading import Records


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A split and the model's answers to it.

    Args:
        truths: Every picture, measured or only looked at.
        detections: The answers in the same order, boxes in source pixels.
        speed: How fast the model was; None where it was not measured, such as for detections
            from a file.
    """

    truths: list[GroundTruth]
    detections: list[Detections]
    speed: Speed | None


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


def load_other(model: Path | str, labels: Sequence[str], name: str) -> Detector:
    """The detector at `model`, which needs to know only one of the labels of the records.

    Args:
        model: As for `Detector.load`.
        labels: The labels of the records.
        name: What messages call the model.

    Raises:
        InputError: No model, or none of the labels.
    """
    detector = Detector.load(model, threshold=0.0)
    common_labels(labels, detector.labels, name)
    return detector


@dataclass(frozen=True, slots=True)
class Results:
    """The detections of another detector, from a file.

    Args:
        file: The file.
        labels: The labels that its detector knows; None where the file does not tell.
        detections: By video (or image) and frame, boxes in source pixels.
    """

    file: Path
    labels: tuple[str, ...] | None
    detections: Mapping[tuple[str, int], Detections]


def run_results(records: Records, results: Results, side: str = "val") -> ModelRun:
    """The answers of a file to every picture of a split; none where it names none.

    Raises:
        InputError: There are no records of that split.
    """
    truths = read_ground_truth(records, side)
    nothing = Detections(np.empty((0, 4)), (), np.empty(0), (0, 0))
    found = [results.detections.get((truth.video, truth.frame), nothing) for truth in truths]
    return ModelRun(truths, [_of_labels(each, records.labels) for each in found], None)


def run_model(
    records: Records, detector: Detector, side: str = "val", *, timed: bool = True
) -> ModelRun:
    """Detect on every picture of a split of `records`, in batches, holding one batch in memory.

    The next pictures are read while the model runs. It decodes them itself, on every core, so that
    batches side by side are only 3 % faster.

    Detections of labels that the records do not have are left out.

    Args:
        records: The records.
        detector: As `load_detector` or `load_other` gives it.
        side: "val" or "test".
        timed: Measure the speed as well.

    Raises:
        InputError: There are no records of that split.
        KfdetError: The model answers with numbers that are not finite.
    """
    truths = read_ground_truth(records, side)
    detections: list[Detections] = []
    progress = Progress("evaluation", len(truths), "images")
    model_seconds = 0.0
    sample: list[bytes] = []
    pictures = records.pictures(truth.source_id for truth in truths)
    source = ((jpeg, truth) for (_, jpeg), truth in zip(pictures, truths, strict=True))
    while batch := list(itertools.islice(source, BATCH_SIZE)):
        sample = sample or [image for image, _ in batch]
        found = answer(detector, batch, records.labels)
        model_seconds += sum(each.model_seconds or 0.0 for each in found)
        detections += found
        progress.advance(len(batch))
    speed = measure_speed(detector, sample, model_seconds) if timed else None
    return ModelRun(truths, detections, speed)


def answer(
    detector: Detector, batch: Sequence[tuple[bytes, GroundTruth]], labels: Sequence[str]
) -> list[Detections]:
    """The detections of these labels on some pictures, boxes in source pixels.

    Raises:
        KfdetError: The model answers with numbers that are not finite.
    """
    answers = detector.detect_batch([image for image, _ in batch])
    return [
        _of_labels(_to_source(found, truth), labels)
        for found, (_, truth) in zip(answers, batch, strict=True)
    ]


def _of_labels(found: Detections, labels: Sequence[str]) -> Detections:
    """Only the detections of these labels."""
    if set(found.labels) <= set(labels):
        return found
    return found.where([label in labels for label in found.labels])


def _to_source(found: Detections, truth: GroundTruth) -> Detections:
    """The detections in source pixels, as small as they can be: all of them are kept in memory.

    Without the picture, and with one text for each label, so that a million of them take 50 MB.
    """
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise KfdetError(
            f"The model's answer to frame {truth.frame} of {truth.video} is not finite: "
            "its weights are broken. Train again with a lower learning rate."
        )
    return replace(
        found,
        boxes=truth.to_source(found.boxes),
        labels=tuple(map(sys.intern, found.labels)),
        picture=None,
    )
