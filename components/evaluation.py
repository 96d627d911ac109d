"""Evaluation: COCO metrics of the exported model, report, verdict, and the measured model."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.events import COMMAND_VARIABLE
from kfdet.parameters import Gate


@component(IMAGE)
def evaluation(
    records: dsl.Input[dsl.Dataset],
    exported_model: dsl.Input[dsl.Model],
    exported_tflite: dsl.Input[dsl.Model],
    training: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    gallery: dsl.Output[dsl.Artifact],
    saved_model: dsl.Output[dsl.Model],
    tflite: dsl.Output[dsl.Model],
    bundle: dsl.Output[dsl.Artifact],
    gate: Gate,
    rival: str,
    seed: int,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", [("verdict", bool), ("reaches_limits", bool)]
):
    """Measure the exported model on the validation split: what is served is what is measured.

    Args:
        records: The TFRecords.
        exported_model: The exported SavedModel.
        exported_tflite: The exported TFLite models.
        training: The trained model, with the history of the training.
        metrics: metrics.json: AP, AP50, per class, split, false positives, verdict.
        confusion: The confusion matrix, background included. The UI shows that of the labels that
            are confused most where there are many: the database keeps it with the run.
        report: One self-contained HTML page.
        gallery: Drawn detections and the worst errors as pictures and a video.
        saved_model: The SavedModel with its recommended thresholds, in TensorFlow Serving's layout.
        tflite: The TFLite models with their metadata, labels and thresholds.
        bundle: Everything to use or train on, in one zip.
        gate: What the model must reach for a good verdict.
        rival: Bucket path of the model that the endpoint serves, to compare with; empty: none.
        seed: Seed of the choice of typical frames.

    Returns:
        The verdict, true when the model is good enough to be served; and whether it is so apart
        from how it compares with another model.
    """
    from kfdet.evaluation.confusion import shorten
    from kfdet.stages.evaluation import evaluate
    from kfdet.stages.packaging import package

    evaluate(
        Path(records.path),
        Path(exported_model.path),
        Path(training.path),
        Path(metrics.path),
        Path(report.path),
        Path(gallery.path),
        gate,
        tflite=Path(exported_tflite.path),
        rival=rival,
        seed=seed,
        command=os.environ.get(COMMAND_VARIABLE, ""),
    )
    package(
        Path(metrics.path),
        Path(exported_model.path),
        Path(exported_tflite.path),
        Path(training.path),
        Path(records.path),
        Path(saved_model.path),
        Path(tflite.path),
        Path(bundle.path),
    )
    saved_model.metadata.update(exported_model.metadata)
    tflite.metadata.update(exported_tflite.metadata)
    with open(metrics.path) as file:
        values = json.load(file)
    for name, value in values.items():
        if isinstance(value, float):
            metrics.log_metric(name, value)
    matrix = values["confusion_matrix"]
    confusion.log_confusion_matrix(*shorten(matrix["labels"], matrix["matrix"]))
    with open(confusion.path, "w") as file:
        json.dump(matrix, file)
    return values["verdict"], values["reaches_limits"]
