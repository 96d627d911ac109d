"""Packaging: exported model and its metrics in; what is served and downloaded out."""

from __future__ import annotations

from pathlib import Path

from kfdet.detection.tflite import find_tflite
from kfdet.detection.thresholds import Thresholds
from kfdet.evaluation.metrics_file import read_metrics
from kfdet.export.bundle import write_bundle
from kfdet.export.measured import write_measured_model, write_measured_tflite
from kfdet.files import atomic_file, atomic_folder
from kfdet.records.tfrecord import LABEL_MAP_FILE
from kfdet.training.model_folder import read_description


def package(
    metrics: Path,
    exported_model: Path,
    exported_tflite: Path,
    training: Path,
    records: Path,
    saved_model: Path,
    tflite: Path,
    bundle: Path,
) -> None:
    """Write the measured model in every form, its recommended thresholds inside.

    Args:
        metrics: metrics.json of the evaluation.
        exported_model: Folder of the export: version folder and model.json.
        exported_tflite: Folder of the export with the TFLite models.
        training: Folder that training wrote.
        records: Folder of the TFRecord build (for its label map).
        saved_model: Folder to write: version folder "1" and model.json.
        tflite: Folder to write: a TFLite model for each precision.
        bundle: Zip file to write.
    """
    thresholds = Thresholds.from_metrics(read_metrics(metrics))
    with atomic_folder(saved_model) as folder:
        write_measured_model(exported_model, folder, thresholds)
    description = read_description(training)
    with atomic_folder(tflite) as folder:
        for file in find_tflite(exported_tflite).values():
            write_measured_tflite(file, folder / file.name, description, thresholds)
    with atomic_file(bundle) as path:
        write_bundle(
            path,
            saved_model=saved_model,
            tflite=tflite,
            label_map=records / LABEL_MAP_FILE,
            checkpoint=training,
            labels=description.labels,
            input_size=(description.height, description.width),
        )
