"""`kfdet serve` over HTTP, with bodies of https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf
from support.patience import SECONDS
from support.toy_server import Served, picture

from kfdet.cluster.names import METRICS_PATH
from kfdet.deployment.watching import Traffic, read_traffic

RED, GREEN = picture(40, 20, (200, 60, 0)), picture(16, 16, (10, 240, 0), "JPEG")


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


@pytest.fixture(scope="module")
def expected(toy_model: Path) -> dict[str, np.ndarray]:
    """What the SavedModel says of both pictures in this process."""
    loaded = tf.saved_model.load(str(toy_model / "12"))
    found = loaded.signatures["serving_default"](image_bytes=tf.constant([RED, GREEN]))
    return {name: values.numpy() for name, values in found.items()}


def test_status(served: Served) -> None:
    status = {
        "model_version_status": [
            {
                "version": "12",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert requests.get(served.model_url, timeout=SECONDS).json() == status
    assert requests.get(f"{served.model_url}/versions/12", timeout=SECONDS).json() == status


@pytest.mark.parametrize("version", ["", "/versions/12"])
def test_metadata(served: Served, version: str) -> None:
    found = requests.get(f"{served.model_url}{version}/metadata", timeout=SECONDS).json()
    assert found["model_spec"] == {"name": "toy", "signature_name": "", "version": "12"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"] == {
        "image_bytes": {
            "dtype": "DT_STRING",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
            "name": "serving_default_image_bytes:0",
        }
    }
    assert signature["outputs"].keys() == {
        "detection_boxes",
        "detection_scores",
        "detection_classes",
        "detection_class_names",
        "num_detections",
    }


@pytest.mark.parametrize("version", ["", "/versions/12"])
def test_rows_equal_the_saved_model(
    served: Served, expected: dict[str, np.ndarray], version: str
) -> None:
    body = {"instances": [b64(RED), b64(GREEN)]}
    response = requests.post(f"{served.model_url}{version}:predict", json=body, timeout=SECONDS)
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(r"model;dur=\d+\.\d+", response.headers["server-timing"])
    rows = response.json()["predictions"]
    assert len(rows) == 2
    for position, row in enumerate(rows):
        assert_equal(row, {name: array[position] for name, array in expected.items()})


@pytest.mark.parametrize(
    "inputs", [[b64(RED), b64(GREEN)], {"image_bytes": [b64(RED), b64(GREEN)]}]
)
def test_columns_equal_the_saved_model(
    served: Served, expected: dict[str, np.ndarray], inputs: Any
) -> None:
    response = requests.post(
        f"{served.model_url}:predict", json={"inputs": inputs}, timeout=SECONDS
    )
    assert_equal(response.json()["outputs"], expected)


def assert_equal(found: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype == object:
            assert found[name] == np.char.decode(values.astype(bytes), "utf-8").tolist()
        else:
            np.testing.assert_allclose(found[name], values, atol=1e-6)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_the_documentations_example(served: Served, content_type: str) -> None:
    body = '{"signature_name": "half_plus_three", "instances": [1.0,2.0,5.0]}'
    response = requests.post(
        f"{served.model_url}:predict",
        data=body,
        headers={"Content-Type": content_type},
        timeout=SECONDS,
    )
    assert response.json() == {"predictions": [3.5, 4.0, 5.5]}


def test_the_documentations_several_inputs(served: Served) -> None:
    body = {
        "signature_name": "several",
        "instances": [
            {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
            {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
        ],
    }
    assert requests.post(f"{served.model_url}:predict", json=body, timeout=SECONDS).json() == {
        "predictions": [
            {"total": 25, "tag_bytes": {"b64": "Zm9v"}, "known": True},
            {"total": 38, "tag_bytes": {"b64": "YmFy"}, "known": False},
        ]
    }


GOOD = json.dumps({"instances": [b64(RED)]})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/v1/models/other", "", 404, "Servable not found for request: Latest(other)"),
        (
            "GET",
            "/v1/models/toy/versions/9",
            "",
            404,
            "Servable not found for request: Specific(toy, 9)",
        ),
        ("GET", "/v1/models/other/metadata", "", 404, "Latest(other)"),
        ("GET", "/v1/models/toy/versions/new", "", 400, "Malformed request: GET"),
        ("GET", "/v1/nothing", "", 400, "Malformed request: GET /v1/nothing"),
        ("POST", "/v1/models/other:predict", GOOD, 404, "Latest(other)"),
        ("POST", "/v1/models/toy/versions/9:predict", GOOD, 404, "Specific(toy, 9)"),
        ("POST", "/v1/models/toy:classify", GOOD, 400, "Malformed request: POST"),
        ("POST", "/v1/models/toy:predict", "", 400, "JSON Parse error"),
        ("POST", "/v1/models/toy:predict", "{", 400, "JSON Parse error"),
        ("POST", "/v1/models/toy:predict", "[1]", 400, "Is not object"),
        ("POST", "/v1/models/toy:predict", '{"instances": [{"b64": "?"}]}', 400, "base64"),
        (
            "POST",
            "/v1/models/toy:predict",
            '{"instances": [{"b64": "aGVsbG8="}]}',
            400,
            "Unknown image file format. One of JPEG, PNG, GIF, BMP, WebP required.",
        ),
        ("POST", "/v1/models/toy:predict", '{"inputs": {"picture": ["a"]}}', 400, "image_bytes"),
        ("POST", "/v1/models/toy:predict", '{"inputs": {"b64": "YQ=="}}', 400, ""),
        ("POST", "/v2/repository/models/toy/unload", "", 501, "toy cannot be unloaded"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_errors(
    served: Served,
    method: str,
    path: str,
    body: str,
    status: int,
    message: str,
    content_type: str,
) -> None:
    headers = {"Content-Type": content_type}
    response = requests.request(
        method, served.rest + path, data=body, headers=headers, timeout=SECONDS
    )
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", "/metrics"])
def test_probes(served: Served, path: str) -> None:
    assert requests.get(served.rest + path, timeout=SECONDS).ok


def test_kserves_own_inference_is_not_served(served: Served) -> None:
    url = f"{served.rest}/v2/models/toy/infer"
    tensor = {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    response = requests.post(url, json={"inputs": [tensor]}, timeout=SECONDS)
    assert response.status_code == 501
    assert response.json() == {"error": "only the V1 protocol is served"}


def test_metrics_under_tensorflow_servings_names(served: Served) -> None:
    url = served.model_url.partition("/v1/")[0] + METRICS_PATH

    def counted() -> Traffic:
        return read_traffic(requests.get(url, timeout=SECONDS).text)

    before = counted()
    body = {"instances": [b64(RED)]}
    assert requests.post(f"{served.model_url}:predict", json=body, timeout=SECONDS).ok
    assert not requests.post(f"{served.model_url}:predict", data=b"{", timeout=SECONDS).ok
    now = counted().since(before)
    assert (now.requests, now.errors, now.timed) == (2, 1, 1)
    assert 0 < now.seconds < SECONDS, "it is in microseconds there"
