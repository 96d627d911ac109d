"""TFLite models for phones and small boards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError
from tensorflow.lite.tools.flatbuffer_utils import (
    convert_object_to_bytearray,
    read_model_from_bytearray,
)

from kfdet.detection.tflite import LABELS_FILE, OUTPUT_ORDER, tflite_name, write_attached
from kfdet.events import warn
from kfdet.export.detection_op import append_detection_op, outputs_of, set_outputs
from kfdet.export.freezing import save_frozen
from kfdet.export.module import Outputs, ServingModule
from kfdet.parameters import Precision

Pictures = Callable[[], Iterable[npt.NDArray[np.uint8]]]
"""Gives training pictures, uint8 (height, width, 3) at the size of the input."""


def write_tflite(
    module: ServingModule, folder: Path, precisions: Sequence[Precision], pictures: Pictures
) -> None:
    """Write `module` as one TFLite file for each precision, its labels inside.

    Input `images` uint8 (1, height, width, 3): RGB, scaled to fit the top left corner, the rest
    black. Outputs, all float32 and in this order: detection_boxes (1, 100, 4) ymin, xmin, ymax,
    xmax as shares of the input, detection_classes (1, 100) from 0, detection_scores (1, 100)
    falling, num_detections (1). The labels are attached as TFLite's metadata format attaches files:
    a zip behind the model.

    Args:
        module: The network.
        folder: Folder to fill; `tflite_name` names the files.
        precisions: float16 stores the weights in half the space, int8 also calculates in integers.
            A network of two stages cannot do that: it is left out with a warning.
        pictures: Show int8 which values occur.
    """
    description = module.description
    spec = tf.TensorSpec([1, description.height, description.width, 3], tf.uint8, name="images")
    labels = "\n".join(description.labels) + "\n"
    with tempfile.TemporaryDirectory(prefix="kfdet-tflite-") as scratch:
        function = _whole(module) if description.two_stage else module.raw_outputs
        save_frozen(function, spec, Path(scratch))
        for precision in precisions:
            if precision == "int8" and description.two_stage:
                warn(f"{description.network} has two stages: no int8 TFLite model is written.")
                continue
            model = read_model_from_bytearray(_convert(scratch, precision, pictures))
            if description.two_stage:
                given = outputs_of(model)
                set_outputs(model, {name: given[name] for name in OUTPUT_ORDER})
            else:
                generator = module.model.detection_generator.get_config()
                append_detection_op(model, module.grid, generator, len(description.labels))
            _drop_names(model.subgraphs[0])
            content = bytes(convert_object_to_bytearray(model))
            write_attached(folder / tflite_name(precision), content, {LABELS_FILE: labels.encode()})


def _whole(module: ServingModule) -> Callable[[tf.Tensor], Outputs]:
    """The module as it is, its outputs in the form that apps read."""
    size = tf.constant([[module.description.height, module.description.width]], tf.float32)

    def detect(images: tf.Tensor) -> Outputs:
        found = module.detect_input(images, size)
        classes = tf.maximum(found["detection_classes"] - 1, 0)  # 0 in rows that are not valid
        return {
            "detection_boxes": found["detection_boxes"],
            "detection_classes": tf.cast(classes, tf.float32),
            "detection_scores": found["detection_scores"],
            "num_detections": tf.cast(found["num_detections"], tf.float32),
        }

    return detect


def _drop_names(graph: Any) -> None:
    """Forget the names of the tensors inside a graph, which nothing reads: 2% of an int8 model."""
    kept = {*graph.inputs, *graph.outputs}
    for index, tensor in enumerate(graph.tensors):
        if index not in kept:
            tensor.name = None


def _convert(saved_model: str, precision: Precision, pictures: Pictures) -> bytearray:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    builtin = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":

        def examples() -> Iterator[list[Any]]:
            yield from ([picture[None]] for picture in pictures())

        converter.representative_dataset = examples
        # what has no operator for integers, such as the last step, stays as it is
        builtin.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
    converter.target_spec.supported_ops = builtin
    try:
        return bytearray(converter.convert())
    except ConverterError:
        warn("the TFLite model needs TensorFlow's Select operators (the Flex delegate) to run")
        converter.target_spec.supported_ops = [*builtin, tf.lite.OpsSet.SELECT_TF_OPS]
        return bytearray(converter.convert())
