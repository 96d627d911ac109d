"""The client's way over gRPC PredictionService; needs the extra `serve`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kfdet.detection.endpoint import ATTEMPTS, EndpointError, refused, unreachable
from kfdet.errors import KfdetError

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
except ModuleNotFoundError as error:
    raise KfdetError(
        f"A grpc:// endpoint needs the package {error.name}: pip install 'kfdet[serve]'. "
        "http:// does without."
    ) from error

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": ATTEMPTS,
                "initialBackoff": "0.4s",
                "maxBackoff": "4s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class GrpcTransport:
    """Calls Predict without encryption, as inside a cluster.

    Args:
        address: HOST:PORT.
        model: The model's name.
        place: What error messages call it.
        timeout: Seconds that an answer may take.
    """

    def __init__(self, address: str, model: str, place: str, timeout: float) -> None:
        self._model, self._place, self._timeout = model, place, timeout
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, image: bytes) -> tuple[Mapping[str, Any], str]:
        """As Transport says."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        tensor = request.inputs["image_bytes"]
        tensor.dtype = tf.string.as_datatype_enum
        tensor.tensor_shape.dim.add(size=1)
        tensor.string_val.append(image)
        try:
            response, call = self._stub.Predict.with_call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._explained(error) from error
        arrays = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        outputs = {name: array[0] for name, array in arrays.items() if array.shape[:1] == (1,)}
        if "detection_class_names" in outputs:
            names = outputs["detection_class_names"].tolist()
            outputs["detection_class_names"] = [name.decode() for name in names]
        return outputs, dict(call.trailing_metadata()).get("server-timing", "")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _explained(self, error: Any) -> EndpointError:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return unreachable(self._place, "no answer in time")
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return unreachable(self._place, error.details())
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return refused(self._place, 404, error.details())
        return EndpointError(f"{self._place} answers with an error: {error.details()}")
