"""Tensors in TensorFlow's messages, checked against what they state before they are decoded.

A few bytes may state a tensor of any shape, which TensorFlow fills up with its last value, and a
message may hold millions of parts, each of which takes many times its size in memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

from kfdet.serving.model import invalid

_MOST_DIMENSIONS = 32
_MOST_PARTS = 20_000

_VALUES = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_STRING: "string_val",
}
"""The field that holds the values of a type; other types are not for requests."""
_COMPLEX = (types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128)

_MODEL_SPEC: dict[int, Any] = {2: {}}
_SHAPE: dict[int, Any] = {2: {}}
_TENSOR: dict[int, Any] = {2: _SHAPE, 14: {6: {2: _SHAPE}}, 15: {3: {2: _SHAPE}}}
_PREDICT_REQUEST: dict[int, Any] = {1: _MODEL_SPEC, 2: {2: _TENSOR}}
"""Numbers of the fields that are messages, and theirs."""


def predict_request(data: bytes) -> Any:
    """The PredictRequest in `data`.

    Raises:
        ServingError: INVALID_ARGUMENT, it is none, or it has very many parts.
    """
    try:
        _count_parts(data, 0, len(data), _PREDICT_REQUEST, _MOST_PARTS)
        return predict_pb2.PredictRequest.FromString(data)
    except (DecodeError, IndexError) as error:
        raise invalid("The request is not a PredictRequest") from error


def _count_parts(data: bytes, place: int, end: int, messages: dict[int, Any], left: int) -> int:
    """How many of `left` parts remain after the message in data[place:end].

    Encoding: https://protobuf.dev/programming-guides/encoding/.

    Raises:
        IndexError: It is cut off.
        ServingError: INVALID_ARGUMENT, there are more.
    """
    while place < end:
        left -= 1
        if left < 0:
            raise invalid(f"The request has more than {_MOST_PARTS:,} parts")
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(data, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(data, place)
            if place + length > end:
                raise IndexError("cut off")
            inner = messages.get(tag >> 3)
            if inner is not None:
                left = _count_parts(data, place, place + length, inner, left)
            place += length
    return left


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise IndexError("a number of more than ten bytes")


def decode(proto: Any) -> npt.NDArray[Any]:
    """The tensor in a TensorProto.

    Raises:
        ServingError: INVALID_ARGUMENT, a type that is not for requests, or a shape that does not
            fit the values.
    """
    field = _VALUES.get(proto.dtype)
    if field is None:
        raise invalid(f"Tensors of type {_type_name(proto.dtype)} are not accepted")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if (
        proto.tensor_shape.unknown_rank
        or len(shape) > _MOST_DIMENSIONS
        or min(shape, default=0) < 0
    ):
        raise invalid(
            f"Tensor is not well-formed: its shape must be known, with at most {_MOST_DIMENSIONS} "
            "dimensions of at least 0"
        )
    count = math.prod(shape)
    content = proto.tensor_content
    if not content:
        held = len(getattr(proto, field)) / (2 if proto.dtype in _COMPLEX else 1)
    elif field == "string_val":
        raise invalid("Tensor is not well-formed: strings belong into string_val")
    else:
        held = len(content) / tf.as_dtype(proto.dtype).size
    if held != count:
        raise invalid(
            f"Tensor is not well-formed: its shape {shape} has {_shown(count)} values, it holds "
            f"{held:g}"
        )
    try:
        array: npt.NDArray[Any] = tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"Tensor is not well-formed: {error}") from error
    return array


def _type_name(dtype: int) -> str:
    return types_pb2.DataType.Name(dtype) if dtype in types_pb2.DataType.values() else str(dtype)


def _shown(count: int) -> str:
    return str(count) if count < 1 << 63 else "far too many"
