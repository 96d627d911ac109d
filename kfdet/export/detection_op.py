"""TFLite's own operator for the last step of a detector, appended to a converted network.

It decodes boxes and leaves out what overlaps (non-maximum suppression), in a third of the time that
Model Garden's graph takes, and behind an int8 network it still counts in float32. Phone apps read
its four outputs. Other than that graph, it does not cut boxes at the border before it looks for
overlaps, which there may decide about a detection of low score. What it does:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/kernels/detection_postprocess.cc
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from kfdet.detection.tflite import OUTPUT_ORDER
from kfdet.training.anchors import AnchorGrid

_NAME = b"TFLite_Detection_PostProcess"


def append_detection_op(
    model: Any, grid: AnchorGrid, generator: Mapping[str, Any], class_count: int
) -> None:
    """Make the detections the outputs of a network that gives `boxes` and `scores`.

    Args:
        model: The converted network as an object of TFLite's schema, which is changed.
        grid: The anchors that its boxes are offsets from.
        generator: The settings of Model Garden's detection generator.
        class_count: How many labels there are.
    """
    given = outputs_of(model)
    size = np.tile([grid.height, grid.width], 2).astype(np.float32)
    anchors = np.concatenate(grid.centre_form, axis=1) / size
    count = generator["max_num_detections"]
    scales = generator["box_coder_weights"] or (1.0, 1.0, 1.0, 1.0)
    options = {
        "max_detections": count,
        "max_classes_per_detection": 1,
        "detections_per_class": count,
        "use_regular_nms": True,  # label by label, as in the SavedModel
        "nms_score_threshold": float(generator["pre_nms_score_threshold"]),
        "nms_iou_threshold": float(generator["nms_iou_threshold"]),
        "num_classes": class_count,
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), map(float, scales), strict=True)),
    }
    shapes = ([1, count, 4], [1, count], [1, count], [1])
    results = [
        _tensor(model, name, shape) for name, shape in zip(OUTPUT_ORDER, shapes, strict=True)
    ]
    operator = schema.OperatorT()
    operator.opcodeIndex = _operator_code(model)
    operator.inputs = [
        given["boxes"],
        given["scores"],
        _tensor(model, "anchors", anchors.shape, anchors.tobytes()),
    ]
    operator.outputs = results
    operator.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
    model.subgraphs[0].operators.append(operator)
    set_outputs(model, dict(zip(OUTPUT_ORDER, results, strict=True)))


def outputs_of(model: Any) -> dict[str, int]:
    """The index of each output's tensor by the output's name."""
    return {each.name.decode(): each.tensorIndex for each in model.signatureDefs[0].outputs}


def set_outputs(model: Any, tensors: Mapping[str, int]) -> None:
    """Make `tensors`, indices by name, the outputs of a model, in that order.

    The converter puts them into an order of its own, and apps read them by position.
    """
    model.subgraphs[0].outputs = list(tensors.values())
    entries = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    model.signatureDefs[0].outputs = entries


def _operator_code(model: Any) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = _NAME
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _tensor(model: Any, name: str, shape: Sequence[int], content: bytes = b"") -> int:
    """Add a float32 tensor, a constant where it has content; gives its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, list(shape), schema.TensorType.FLOAT32
    if content:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    tensors = model.subgraphs[0].tensors
    tensors.append(tensor)
    return len(tensors) - 1
