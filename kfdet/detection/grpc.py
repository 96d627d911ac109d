"""The client of TensorFlow Serving's gRPC PredictionService; needs the extra `serve`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.detection.answers import MOST_BYTES
from kfdet.detection.backend import Answer
from kfdet.detection.endpoint import (
    ATTEMPTS,
    IN_FLIGHT,
    EndpointError,
    ask,
    authorization,
    hide_token,
    model_seconds,
    refused,
    unreachable,
)
from kfdet.errors import KfdetError

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
except ModuleNotFoundError as error:
    raise KfdetError(
        f"A grpc:// endpoint needs the package {error.name}: pip install 'kfdet[serve]'. "
        "http:// needs no extra package."
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


class GrpcBackend:
    """A served model, called without encryption as inside a cluster.

    Args:
        address: HOST:PORT.
        model: The model's name.
        timeout: Seconds that the answer to one request may take, with all attempts.
    """

    labels = None
    input_size = None
    thresholds = None
    in_flight = IN_FLIGHT

    def __init__(self, address: str, model: str, timeout: float) -> None:
        self.place = f"grpc://{address} (model {model})"
        self._model, self._timeout = model, timeout
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", MOST_BYTES),
            ],
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for all pictures.

        Raises:
            EndpointError: No connection, no such model, not ready, or another kind of server.
        """
        return ask(pictures, self._predict)

    def _predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for pictures that fit into one request."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        tensor = request.inputs["image_bytes"]
        tensor.dtype = tf.string.as_datatype_enum
        tensor.tensor_shape.dim.add(size=len(pictures))
        tensor.string_val.extend(pictures)
        try:
            response, call = self._stub.Predict.with_call(
                request, timeout=self._timeout, metadata=tuple(authorization().items())
            )
        except grpc.RpcError as error:
            raise self._explained(error) from error
        try:
            arrays = {name: read_tensor(proto) for name, proto in response.outputs.items()}
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            raise EndpointError(
                f"{self.place} answers with tensors that are not valid: {str(error)[:200]}. "
                "Check the address: there is another server behind it."
            ) from error
        rows: list[dict[str, Any]] = []
        for index in range(len(pictures)):
            row = {
                name: array[index]
                for name, array in arrays.items()
                if array.shape[:1] == (len(pictures),)
            }
            names = row.get("detection_class_names")
            if isinstance(names, np.ndarray) and names.dtype == object:
                row["detection_class_names"] = [name.decode("utf-8", "replace") for name in names]
            rows.append(row)
        timing = dict(call.trailing_metadata()).get("server-timing", "")
        return Answer(rows, model_seconds(timing if isinstance(timing, str) else ""))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _explained(self, error: Any) -> EndpointError:
        details = hide_token(str(error.details()))[:200]
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return unreachable(self.place, "no answer in time")
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return unreachable(self.place, details)
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return refused(self.place, 401, details)
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            return refused(self.place, 403, details)
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return refused(self.place, 404, details)
        return EndpointError(f"{self.place} answers with an error: {details}")


def read_tensor(proto: Any) -> npt.NDArray[Any]:
    """The tensor in a TensorProto.

    Raises:
        TypeError, ValueError, OverflowError, KeyError: It is not one, or too large to be an answer.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    # TensorFlow fills a tensor of any shape up with its last value.
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_BYTES:
        raise ValueError(f"a shape of {len(shape)} dimensions that has no or far too many values")
    array: npt.NDArray[Any] = tf.make_ndarray(proto)
    return array
