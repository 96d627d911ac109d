"""`kfdet serve` over TensorFlow Serving's gRPC services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from support.toy_server import Served, picture
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

IMAGES = [picture(40, 20, (200, 60, 0)), picture(16, 16, (10, 240, 0), "JPEG")]


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(
    inputs: dict[str, Any],
    name: str = "toy",
    version: int | None = None,
    signature: str = "",
    outputs: tuple[str, ...] = (),
) -> Any:
    message = predict_pb2.PredictRequest(output_filter=outputs)
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


@pytest.mark.parametrize("version", [None, 12])
def test_predictions_equal_the_saved_model(
    prediction: Any, toy_model: Path, version: int | None
) -> None:
    response = prediction.Predict(request({"image_bytes": IMAGES}, version=version))
    loaded = tf.saved_model.load(str(toy_model / "12"))
    expected = loaded.signatures["serving_default"](image_bytes=tf.constant(IMAGES))
    assert response.outputs.keys() == expected.keys()
    for name, tensor in expected.items():
        found = tf.make_ndarray(response.outputs[name])
        assert (found.shape, found.dtype) == (tensor.shape, tensor.numpy().dtype)
        if tensor.dtype == tf.string:
            np.testing.assert_array_equal(found, tensor.numpy())
        else:
            np.testing.assert_allclose(found, tensor.numpy(), atol=1e-6)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 12, "serving_default")
    # Where clients that follow TensorFlow Serving's tutorials look.
    scores = response.outputs["detection_scores"].float_val
    np.testing.assert_allclose(scores, expected["detection_scores"].numpy().ravel(), atol=1e-6)


def test_some_outputs(prediction: Any) -> None:
    wanted = ("num_detections", "detection_scores")
    response = prediction.Predict(request({"image_bytes": IMAGES}, outputs=wanted))
    assert set(response.outputs) == set(wanted)


def test_metadata(prediction: Any, toy_model: Path) -> None:
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = "toy"
    response = prediction.GetModelMetadata(message)
    assert response.model_spec.version.value == 12
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["several"].inputs
    assert {name: info.dtype for name, info in inputs.items()} == {
        "tag": tf.string.as_datatype_enum,
        "signal": tf.int32.as_datatype_enum,
        "sensor": tf.int32.as_datatype_enum,
    }


def status_request(name: str, version: int | None = None) -> Any:
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = name
    if version is not None:
        message.model_spec.version.value = version
    return message


def test_status(channel: grpc.Channel) -> None:
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    (status,) = models.GetModelStatus(status_request("toy")).model_version_status
    assert (status.version, status.state, status.status.error_code) == (
        12,
        get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        0,
    )
    for unknown in (status_request("other"), status_request("toy", 9)):
        with pytest.raises(grpc.RpcError) as caught:
            models.GetModelStatus(unknown)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


INVALID = grpc.StatusCode.INVALID_ARGUMENT
WRONG_SHAPE = tf.make_tensor_proto([b"a"])
WRONG_SHAPE.string_val.append(b"b")


def with_tensor(proto: Any) -> Any:
    message = request({})
    message.inputs["image_bytes"].CopyFrom(proto)
    return message


def with_label(label: str) -> Any:
    message = request({"image_bytes": IMAGES})
    message.model_spec.version_label = label
    return message


@pytest.mark.parametrize(
    ("message", "code", "details"),
    [
        (request({}), INVALID, "Missing but required: {image_bytes}"),
        (request({"image_bytes": IMAGES}, name="other"), grpc.StatusCode.NOT_FOUND, "other"),
        (request({"image_bytes": IMAGES}, version=9), grpc.StatusCode.NOT_FOUND, "(toy, 9)"),
        (with_label("stable"), INVALID, "Unrecognized servable version label: stable"),
        (
            request({"image_bytes": IMAGES}, signature="no"),
            grpc.StatusCode.FAILED_PRECONDITION,
            'signature key "no" not found',
        ),
        (request({"picture": IMAGES}), INVALID, "Sent extra: {picture}"),
        (request({"image_bytes": IMAGES}, outputs=("boxes",)), INVALID, "boxes"),
        (request({"image_bytes": [1.5]}), INVALID, "must be of type string"),
        (request({"image_bytes": [b"hello"]}), INVALID, "Unknown image file format"),
        (request({"image_bytes": [[b"a"]]}), INVALID, ""),
        (with_tensor(WRONG_SHAPE), INVALID, "not well-formed"),
    ],
)
def test_errors(prediction: Any, message: Any, code: grpc.StatusCode, details: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(message)
    assert caught.value.code() is code
    assert details in caught.value.details()


@pytest.mark.parametrize(
    ("fields", "details"),
    [([], "at least one metadata_field"), (["assets"], "Metadata field assets is not supported")],
)
def test_metadata_errors(prediction: Any, fields: list[str], details: str) -> None:
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    message.model_spec.name = "toy"
    with pytest.raises(grpc.RpcError) as caught:
        prediction.GetModelMetadata(message)
    assert caught.value.code() is INVALID
    assert details in caught.value.details()


def test_what_a_detector_does_not_do(prediction: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Classify(classification_pb2.ClassificationRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
