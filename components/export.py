"""Export: SavedModel for TensorFlow Serving, and TFLite."""

import json
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import ExportSettings


@component(IMAGE)
def export(
    model: dsl.Input[dsl.Model],
    records: dsl.Input[dsl.Dataset],
    saved_model: dsl.Output[dsl.Model],
    tflite_models: dsl.Output[dsl.Model],
    settings: ExportSettings,
) -> None:
    """Export the trained detector in every format it is used in.

    Args:
        model: The trained model.
        records: The TFRecords, of which some training pictures calibrate int8.
        saved_model: SavedModel in TensorFlow Serving's layout (1/saved_model.pb).
        tflite_models: TFLite models with their labels, one for each precision.
        settings: Which precisions.
    """
    from kfdet.stages.export import export as export_model

    export_model(
        Path(model.path),
        Path(records.path),
        Path(saved_model.path),
        Path(tflite_models.path),
        settings,
    )
    described = json.loads(Path(saved_model.path, "model.json").read_text())
    for name in ("network", "height", "width", "labels"):
        saved_model.metadata[name] = tflite_models.metadata[name] = described[name]
