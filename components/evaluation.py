"""Evaluation: COCO metrics of the exported model, the report and the verdict."""

import json
import os
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.events import COMMAND_VARIABLE
from kfdet.parameters import Gate


@component(IMAGE)
def evaluation(
    records: dsl.Input[dsl.Dataset],
    saved_model: dsl.Input[dsl.Model],
    training: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    gallery: dsl.Output[dsl.Artifact],
    gate: Gate,
    seed: int,
) -> bool:
    """Measure the exported model on the validation split: what is served is what is measured.

    Args:
        records: The TFRecords.
        saved_model: The exported SavedModel.
        training: The trained model, for the history of the training.
        metrics: metrics.json: AP, AP50, per class, split, false positives, verdict.
        confusion: The confusion matrix, background included.
        report: One self-contained HTML page.
        gallery: Drawn detections and the worst errors as pictures and a video.
        gate: What the model must reach for a good verdict.
        seed: Seed of the choice of typical frames.

    Returns:
        The verdict: true when the model is good enough to be served.
    """
    from kfdet.stages.evaluation import evaluate

    verdict = evaluate(
        Path(records.path),
        Path(saved_model.path),
        Path(training.path),
        Path(metrics.path),
        Path(report.path),
        Path(gallery.path),
        gate,
        seed=seed,
        command=os.environ.get(COMMAND_VARIABLE, ""),
    )
    with open(metrics.path) as file:
        values = json.load(file)
    for name, value in values.items():
        if isinstance(value, float):
            metrics.log_metric(name, value)
    matrix = values["confusion_matrix"]
    confusion.log_confusion_matrix(matrix["labels"], matrix["matrix"])
    with open(confusion.path, "w") as file:
        json.dump(matrix, file)
    return verdict
