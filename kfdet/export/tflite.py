"""The TFLite model for phones and small boards."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from kfdet.detection.tflite import LABELS_FILE
from kfdet.events import warn
from kfdet.export.freezing import save_frozen
from kfdet.export.module import ServingModule
from kfdet.files import write_zip


def write_tflite(module: ServingModule, path: Path) -> None:
    """Write `module` as one TFLite file with its labels inside.

    Input `images` uint8 (1, height, width, 3): RGB, scaled to fit the top left corner, the rest
    black. Outputs by name as in the SavedModel, boxes as shares of the input. The labels are
    attached as TFLite's metadata format attaches files: a zip behind the model
    (https://ai.google.dev/edge/litert/models/metadata).
    """
    height, width = module.description.height, module.description.width
    spec = tf.TensorSpec([1, height, width, 3], tf.uint8, name="images")
    whole = tf.constant([[height, width]], tf.float32)
    with tempfile.TemporaryDirectory(prefix="kfdet-tflite-") as scratch:
        save_frozen(lambda images: module.detect_input(images, whole), spec, Path(scratch))
        path.write_bytes(_convert(scratch))
    labels = "\n".join(module.description.labels) + "\n"
    write_zip(path, {LABELS_FILE: labels.encode()}, append=True)


def _convert(saved_model: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    try:
        content: bytes = converter.convert()
    except ConverterError:
        warn("the TFLite model needs TensorFlow's Select operators (the Flex delegate) to run")
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        content = converter.convert()
    return content
