"""JSON bodies as https://www.tensorflow.org/tfx/serving/api_rest has them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kfdet.serving.model import Prediction, ServedModel, ServingError, load_model
from kfdet.serving.tensor_json import decode, encode, parse

NAN = float("nan")


@pytest.fixture(scope="module")
def model(toy_model: Path) -> ServedModel:
    return load_model(toy_model / "12", "toy")


@pytest.mark.parametrize(
    ("body", "inputs", "layout"),
    [
        ({"inputs": []}, {"image_bytes": []}, "columnar"),
        ({"instances": ["foo", "bar"]}, {"image_bytes": [b"foo", b"bar"]}, "row"),
        (
            {"instances": [{"b64": "aW1hZ2UgYnl0ZXM="}]},
            {"image_bytes": [b"image bytes"]},
            "row",
        ),
        ({"instances": [{"b64": "YXd lc29t\nZQ"}]}, {"image_bytes": [b"awesome"]}, "row"),
        ({"instances": [{"image_bytes": {"b64": ""}}]}, {"image_bytes": [b""]}, "row"),
        ({"inputs": [{"b64": "YQ=="}]}, {"image_bytes": [b"a"]}, "columnar"),
        ({"inputs": {"image_bytes": ["a"]}}, {"image_bytes": [b"a"]}, "columnar"),
        (
            {"signature_name": "half_plus_three", "instances": [1.0, 2, 5.0]},
            {"x": [1.0, 2.0, 5.0]},
            "row",
        ),
        (
            {
                "signature_name": "several",
                "instances": [
                    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
                    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
                ],
            },
            {
                "tag": [b"foo", b"bar"],
                "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
                "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
            },
            "row",
        ),
        (
            {
                "signature_name": "several",
                "inputs": {
                    "tag": ["foo", "bar"],
                    "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
                    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
                },
            },
            {
                "tag": [b"foo", b"bar"],
                "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
                "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
            },
            "columnar",
        ),
    ],
)
def test_decode(model: ServedModel, body: Any, inputs: dict[str, Any], layout: str) -> None:
    request, found = decode(parse(json.dumps(body).encode()), model)
    assert {name: array.tolist() for name, array in request.inputs.items()} == inputs
    assert found == layout


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error"),
        (b'{"instances": [', "JSON Parse error"),
        (b'{"instances": [NaN]}', "JSON Parse error"),
        (b"[]", "Is not object"),
        (b"{}", "exactly one of 'inputs' or 'instances'"),
        (b'{"instances": ["a"], "inputs": ["a"]}', "exactly one of 'inputs' or 'instances'"),
        (b'{"signature_name": 1, "instances": ["a"]}', "must be a string"),
        (b'{"signature_name": "no", "instances": ["a"]}', 'signature key "no" not found'),
        (b'{"instances": "a"}', "to be an list/array"),
        (b'{"instances": []}', "No values in 'instances'"),
        (b'{"instances": [1]}', "JSON Value: 1 is not of expected type: string"),
        (b'{"instances": [{"b64": 1}]}', "keys must be equal to: image_bytes"),
        (b'{"instances": [{"b64": "*"}]}', "Unable to base64 decode"),
        (b'{"instances": [{"b64": "YWI"}, {"b64": "a"}]}', "Unable to base64 decode"),
        (b'{"instances": [{"picture": "a"}]}', "keys must be equal to: image_bytes"),
        (b'{"instances": ["a", {"image_bytes": "a"}]}', "either objects or values"),
        (b'{"instances": ["a", ["b"]]}', "unexpected level: 1 expected < 1"),
        (b'{"instances": [["a"], "b"]}', "found at incorrect level: 2"),
        (b'{"instances": [["a"], ["b", "c"]]}', "unexpected size: 2 at level: 1"),
        (b'{"inputs": {"picture": ["a"]}}', "Missing named input: image_bytes"),
        (b'{"inputs": {"image_bytes": [true]}}', "JSON Value: true is not of expected type"),
        (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", "nested 40 deep"),
        (b'{"signature_name": "half_plus_three", "instances": ["a"]}', "expected type: float32"),
        (b'{"signature_name": "half_plus_three", "instances": [true]}', "expected type: float32"),
        (b'{"signature_name": "several", "instances": [1]}', "expecting an object with the inputs"),
        (
            b'{"signature_name": "several", "inputs": {"tag": [], "signal": [1.5], "sensor": []}}',
            "1.5 is not of expected type: int32",
        ),
        (
            b'{"signature_name": "several", "inputs": {"tag": [], "signal": [3000000000], '
            b'"sensor": []}}',
            "does not fit into int32",
        ),
    ],
)
def test_what_cannot_be_decoded(model: ServedModel, body: bytes, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        decode(parse(body), model)
    assert message in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    )


@pytest.mark.parametrize(
    ("outputs", "row", "columnar"),
    [
        ({"y": np.zeros(0, np.float32)}, {"predictions": []}, {"outputs": []}),
        (
            {"y": np.array([3.5, 4.0, 0.1], np.float32)},
            {"predictions": [3.5, 4.0, 0.1]},
            {"outputs": [3.5, 4.0, 0.1]},
        ),
        (
            {"y": np.array([[1], [2]]), "z": np.array([True, False])},
            {"predictions": [{"y": [1], "z": True}, {"y": [2], "z": False}]},
            {"outputs": {"y": [[1], [2]], "z": [True, False]}},
        ),
        (
            {"name": np.array([["ä".encode(), b""]], object)},
            {"predictions": [["ä", ""]]},
            {"outputs": [["ä", ""]]},
        ),
        (
            {"image_bytes": np.array([b"image bytes"], object)},
            {"predictions": [{"b64": base64.b64encode(b"image bytes").decode()}]},
            {"outputs": [{"b64": base64.b64encode(b"image bytes").decode()}]},
        ),
        (
            {"y": np.array([np.inf, 0.5], np.float32), "z": np.array([1, 2])},
            {"predictions": [{"y": np.inf, "z": 1}, {"y": 0.5, "z": 2}]},
            {"outputs": {"y": [np.inf, 0.5], "z": [1, 2]}},
        ),
    ],
)
def test_encode(outputs: dict[str, Any], row: Any, columnar: Any) -> None:
    prediction = Prediction("serving_default", outputs, 0.0)
    assert json.loads(encode(prediction, "row")) == row
    assert json.loads(encode(prediction, "columnar")) == columnar


def test_short_floats_stay_short() -> None:
    prediction = Prediction("", {"y": np.array([0.1], np.float32)}, 0.0)
    assert encode(prediction, "row") == b'{"predictions":[0.1]}'


def test_nan_is_a_bare_word() -> None:
    prediction = Prediction("", {"y": np.array([NAN], np.float32)}, 0.0)
    assert encode(prediction, "columnar") == b'{"outputs": [NaN]}'


@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.array(1.0)},
        {"y": np.zeros(2), "z": np.zeros(3)},
    ],
)
def test_rows_need_a_common_batch_size(outputs: dict[str, Any]) -> None:
    with pytest.raises(ServingError, match="no common batch size"):
        encode(Prediction("", outputs, 0.0), "row")
    assert "outputs" in json.loads(encode(Prediction("", outputs, 0.0), "columnar"))
