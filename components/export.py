"""Export: SavedModel for TensorFlow Serving, and TFLite."""

import json
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def export(
    model: dsl.Input[dsl.Model],
    saved_model: dsl.Output[dsl.Model],
    tflite: dsl.Output[dsl.Model],
) -> None:
    """Export the trained detector in every format it is used in.

    Args:
        model: The trained model.
        saved_model: SavedModel in TensorFlow Serving's layout (1/saved_model.pb).
        tflite: TFLite model with its labels.
    """
    from kfdet.stages.export import export as export_model

    export_model(Path(model.path), Path(saved_model.path), Path(tflite.path))
    described = json.loads(Path(saved_model.path, "model.json").read_text())
    for name in ("network", "height", "width", "labels"):
        saved_model.metadata[name] = tflite.metadata[name] = described[name]
