"""TensorFlow Serving's messages about a model, which REST gives as JSON and gRPC as they are."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from kfdet.serving.model import Prediction, ServedModel


def model_status(model: ServedModel) -> Any:
    """A GetModelStatusResponse: the one version is available, or there would be no answer."""
    status = get_model_status_pb2.ModelVersionStatus(
        version=model.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
    )
    status.status.SetInParent()
    return get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])


def signature_map(model: ServedModel) -> Any:
    """A SignatureDefMap of all signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def model_metadata(model: ServedModel) -> Any:
    """A GetModelMetadataResponse with the signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.metadata["signature_def"].Pack(signature_map(model))
    return response


def predict_response(model: ServedModel, prediction: Prediction) -> Any:
    """A PredictResponse; values are in the typed fields, where TensorFlow Serving puts them."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = prediction.signature_name
    for name, array in prediction.outputs.items():
        _fill(response.outputs[name], array)
    return response


_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
}


def _fill(tensor: Any, array: Any) -> None:
    import tensorflow as tf

    field = _FIELDS.get(array.dtype.name)
    if field is None:
        tensor.CopyFrom(tf.make_tensor_proto(array))
        return
    tensor.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, field).extend(array.ravel().tolist())
