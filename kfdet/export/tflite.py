"""The TFLite model for phones and small boards."""

from __future__ import annotations

import zipfile
from pathlib import Path

import tensorflow as tf

from kfdet.events import warn
from kfdet.export.detector import Detector
from kfdet.export.freezing import frozen_module


def write_tflite(detector: Detector, path: Path) -> None:
    """Write `detector` as one TFLite file with its labels inside.

    Input `images` uint8 (1, height, width, 3): RGB, scaled to fit the top left corner, the rest
    black. Outputs by name as in the SavedModel, boxes as shares of the input. The labels are
    attached as TFLite's metadata format attaches files: a zip behind the model
    (https://ai.google.dev/edge/litert/models/metadata).
    """
    height, width = detector.description.height, detector.description.width
    spec = tf.TensorSpec([1, height, width, 3], tf.uint8, name="images")
    whole = tf.constant([[height, width]], tf.float32)
    module = frozen_module(lambda images: detector.detect_input(images, whole), spec)
    content = _convert(module)
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as attached:
        # A fixed date: the same model gives the same file.
        attached.writestr(
            zipfile.ZipInfo("labels.txt"), "\n".join(detector.description.labels) + "\n"
        )


def _convert(module: tf.Module) -> bytes:
    concrete = module.call.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    try:
        content: bytes = converter.convert()
    except tf.lite.python.convert_phase.ConverterError:
        warn("the TFLite model needs TensorFlow's Select operators (the Flex delegate) to run")
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        content = converter.convert()
    return content
