"""TensorFlow Serving's gRPC services PredictionService and ModelService for one model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
)
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from kfdet.serving import messages, tensor_proto
from kfdet.serving.limited import LimitedModel, Request
from kfdet.serving.model import ServedModel, ServingError, invalid

_SPARE_CALLS = 8
"""Calls beside predictions, such as a question for the status."""


class _PredictionService:
    """Predict and GetModelMetadata; the other methods are not for detectors: UNIMPLEMENTED."""

    def __init__(self, limited: LimitedModel) -> None:
        self._limited = limited
        self._model = limited.model

    def Predict(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Call the model; its own time is in the trailing metadata `server-timing`."""

        def read() -> Request:
            request = tensor_proto.predict_request(data)
            _check_spec(self._model, request.model_spec)
            signature_name = request.model_spec.signature_name
            signature = self._model.signature(signature_name)
            for name, info in signature.inputs.items():
                if name in request.inputs and request.inputs[name].dtype != info.dtype:
                    wanted = tf.as_dtype(info.dtype).name
                    raise invalid(f"input {name} must be of type {wanted}")
            inputs = {name: tensor_proto.decode(proto) for name, proto in request.inputs.items()}
            return Request(inputs, signature_name, tuple(request.output_filter))

        def answer() -> Any:
            with self._limited.metrics.request("GRPC"):
                prediction = self._limited.predict(len(data), read)
            context.set_trailing_metadata((("server-timing", prediction.server_timing),))
            return messages.predict_response(self._model, prediction)

        return _answer(answer, context)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The signatures."""

        def answer() -> Any:
            _check_spec(self._model, request.model_spec)
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise invalid(f"Metadata field {field} is not supported")
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


def start(limited: LimitedModel, address: str) -> Any:
    """Serve a model at `address` (host:port) until the returned server is stopped.

    Raises:
        RuntimeError: The address cannot be bound.
    """
    calls = limited.admission.capacity + _SPARE_CALLS
    server = grpc.server(
        ThreadPoolExecutor(calls, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", limited.limits.request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a port in use is to be an error, not to be shared
        ],
        maximum_concurrent_rpcs=calls,
    )
    service = _PredictionService(limited)
    # Predict's requests come as bytes: what they hold is counted before they are taken apart.
    handlers = {
        "Predict": grpc.unary_unary_rpc_method_handler(
            service.Predict, response_serializer=PredictResponse.SerializeToString
        ),
        "GetModelMetadata": grpc.unary_unary_rpc_method_handler(
            service.GetModelMetadata,
            GetModelMetadataRequest.FromString,
            GetModelMetadataResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", handlers)]
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(limited.model), server)
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
        raise invalid(f"Unrecognized servable version label: {spec.version_label}")
    model.check(spec.name, spec.version.value if spec.HasField("version") else None)
