"""TensorFlow Serving's gRPC services PredictionService and ModelService for one model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from kfdet.serving import messages
from kfdet.serving.model import ServedModel, ServingError

# An image has no size limit of its own, and a port in use is to be an error, not to be shared.
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict and GetModelMetadata; the other methods are not for detectors: UNIMPLEMENTED."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Call the model; its own time is in the trailing metadata `server-timing`."""

        def answer() -> Any:
            _check_spec(self._model, request.model_spec)
            signature_name = request.model_spec.signature_name
            signature = self._model.signature(signature_name)
            inputs = {name: _array(proto) for name, proto in request.inputs.items()}
            for name, info in signature.inputs.items():
                if name in request.inputs and request.inputs[name].dtype != info.dtype:
                    wanted = tf.as_dtype(info.dtype).name
                    raise _invalid(f"input {name} must be of type {wanted}")
            prediction = self._model.predict(inputs, signature_name, request.output_filter)
            context.set_trailing_metadata((("server-timing", prediction.server_timing),))
            return messages.predict_response(self._model, prediction)

        return _answer(answer, context)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The signatures."""

        def answer() -> Any:
            _check_spec(self._model, request.model_spec)
            if not request.metadata_field:
                raise _invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise _invalid(f"Metadata field {field} is not supported")
            return messages.model_metadata(self._model)

        return _answer(answer, context)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus; another model or version takes a restart: the rest is UNIMPLEMENTED."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The state of the version that is served."""

        def answer() -> Any:
            _check_spec(self._model, request.model_spec)
            return messages.model_status(self._model)

        return _answer(answer, context)


def start(model: ServedModel, address: str) -> Any:
    """Serve `model` at `address` (host:port) until the returned server is stopped.

    Raises:
        RuntimeError: The address cannot be bound.
    """
    server = grpc.server(ThreadPoolExecutor(thread_name_prefix="grpc"), options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(model), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(model), server)
    server.add_insecure_port(address)
    server.start()
    return server


def _answer(function: Callable[[], Any], context: Any) -> Any:
    try:
        return function()
    except ServingError as error:
        context.abort(error.code, error.message)


def _check_spec(model: ServedModel, spec: Any) -> None:
    if spec.version_label:
        raise _invalid(f"Unrecognized servable version label: {spec.version_label}")
    model.check(spec.name, spec.version.value if spec.HasField("version") else None)


def _array(proto: Any) -> Any:
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise _invalid(f"Tensor is not well-formed: {error}") from error


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
