"""TFLite's metadata: what Google's task libraries and sample apps read about a detector.

Source of the format: https://ai.google.dev/edge/litert/models/metadata and the schema
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs
(1.5.0): a flatbuffer inside the model, whose associated files (the labels) are a zip behind it. The
numbers of fields and values are the schema's. Google's own writer, tflite-support, exists for
Python 3.11 only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from flatbuffers import number_types
from tensorflow.lite.python import schema_py_generated as schema

from kfdet.detection.tflite import LABELS_FILE

Table = Mapping[int, Any]
"""Values by number of the field: numbers as NumPy scalars, texts, tables, and lists of these."""

_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.2.0"  # the first one that knows groups of tensors

_IMAGE_PROPERTIES, _BOX_PROPERTIES, _FEATURE_PROPERTIES = np.uint8(2), np.uint8(3), np.uint8(1)
_NORMALIZATION, _SCORE_THRESHOLDING = np.uint8(1), np.uint8(3)
_TENSOR_VALUE_LABELS, _RGB, _BOUNDARIES = np.int8(3), np.int8(1), np.int8(1)
_PER_DETECTION: Table = {0: np.int32(2), 1: np.int32(2)}
"""The dimension, counted from 1, of which each entry is one detection."""

_FLAGS = {
    np.dtype(np.int8): number_types.Int8Flags,
    np.dtype(np.uint8): number_types.Uint8Flags,
    np.dtype(np.int32): number_types.Int32Flags,
    np.dtype(np.uint32): number_types.Uint32Flags,
}


def metadata(name: str, height: int, width: int, threshold: float | None) -> bytes:
    """The metadata of a detector.

    Its input is one RGB picture of uint8, which the model normalises itself; its outputs are
    location, category, score and number of detections, under the names by which the task libraries
    know them.

    Args:
        name: Name of the network.
        height: Input height in pixels.
        width: Input width in pixels.
        threshold: The score from which on a detection counts; None where that is not known.
    """
    image: Table = {
        0: "image",
        1: "RGB, the whole picture scaled to the input.",
        3: {
            0: _IMAGE_PROPERTIES,
            1: {0: _RGB, 1: {0: np.uint32(width), 1: np.uint32(height)}},
        },
        4: [_unit(_NORMALIZATION, {0: _floats(0), 1: _floats(1)})],
        5: {0: _floats(255), 1: _floats(0)},
    }
    corners = np.array([1, 0, 3, 2], np.uint32)  # where left, top, right, bottom are
    location: Table = {
        0: "location",
        1: "Top, left, bottom and right as shares of the input, best detection first.",
        3: {0: _BOX_PROPERTIES, 1: {0: corners, 1: _BOUNDARIES}, 2: _PER_DETECTION},
    }
    category: Table = {
        0: "category",
        1: "Line of the label in the label file, from 0.",
        3: {0: _FEATURE_PROPERTIES, 1: {}, 2: _PER_DETECTION},
        6: [{0: LABELS_FILE, 1: "One label per line.", 2: _TENSOR_VALUE_LABELS}],
    }
    score: Table = {
        0: "score",
        1: "0 to 1.",
        3: {0: _FEATURE_PROPERTIES, 1: {}, 2: _PER_DETECTION},
    }
    if threshold is not None:
        score = {**score, 4: [_unit(_SCORE_THRESHOLDING, {0: np.float32(threshold)})]}
    count: Table = {
        0: "number of detections",
        1: "How many of the detections are valid.",
        3: {0: _FEATURE_PROPERTIES, 1: {}},
    }
    group: Table = {0: "detection_result", 1: ["location", "category", "score"]}
    subgraph: Table = {2: [image], 3: [location, category, score, count], 8: [group]}
    model: Table = {
        0: name,
        1: "An object detector, trained by kfdet.",
        3: [subgraph],
        7: _PARSER_VERSION,
    }
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, model), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def add_metadata(model: Any, content: bytes) -> None:
    """Put metadata into a model, an object of TFLite's schema that has none."""
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = _NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def _floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def _unit(kind: np.uint8, options: Table) -> Table:
    """A step of processing."""
    return {0: kind, 1: options}


def _write(builder: Any, table: Table) -> int:
    """Append a table and what it refers to; gives its offset."""
    references = {
        field: _refer(builder, value)
        for field, value in table.items()
        if not isinstance(value, np.generic)
    }
    builder.StartObject(max(table, default=-1) + 1)
    for field, value in table.items():
        if field in references:
            builder.PrependUOffsetTRelativeSlot(field, references[field], 0)
        elif isinstance(value, np.float32):
            builder.PrependFloat32Slot(field, float(value), 0.0)
        else:
            builder.PrependSlot(_FLAGS[value.dtype], field, int(value), 0)
    offset: int = builder.EndObject()
    return offset


def _refer(builder: Any, value: Any) -> int:
    """Append a text, a table, or a vector; gives its offset."""
    offset: int
    if isinstance(value, str):
        offset = builder.CreateString(value)
    elif isinstance(value, Mapping):
        offset = _write(builder, value)
    elif isinstance(value, np.ndarray):
        offset = builder.CreateNumpyVector(value)
    else:
        offsets = [_refer(builder, each) for each in value]
        builder.StartVector(4, len(offsets), 4)
        for each in reversed(offsets):
            builder.PrependUOffsetTRelative(each)
        offset = builder.EndVector()
    return offset
