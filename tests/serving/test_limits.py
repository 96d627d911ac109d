"""Requests that are made to hurt: refused with the right code, and without taking memory."""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import struct
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from support.mutations import mutated
from support.patience import SECONDS
from support.toy_server import Served, picture, start_server
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

RED = picture(40, 20, (200, 60, 0))
PREDICT = "/tensorflow.serving.PredictionService/Predict"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVERS_FAULT = (
    *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE),
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


def bomb(width: int = 100_000, height: int = 100_000) -> bytes:
    """A PNG that states another size than it has."""
    data = bytearray(RED)
    struct.pack_into(">II", data, 16, width, height)
    return bytes(data)


def peak(served: Served) -> float:
    """The most MiB that the server ever took."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def processor_seconds(served: Served) -> float:
    """What the server has computed; unlike the time, other processes do not add to it."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def takes_no_memory(served: Served) -> Iterator[None]:
    before, worked = peak(served), processor_seconds(served)
    yield
    assert peak(served) - before < 250
    assert processor_seconds(served) - worked < 20


@pytest.fixture
def send(served: Served) -> Iterator[Any]:
    """Sends bytes as a PredictRequest; returns the code and the details of the refusal."""
    with grpc.insecure_channel(
        served.grpc, options=[("grpc.max_send_message_length", -1)]
    ) as channel:

        def call(data: bytes) -> tuple[grpc.StatusCode, str]:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(PREDICT)(data, timeout=SECONDS)
            return caught.value.code(), caught.value.details()

        yield call


def tensor(
    dtype: str = "DT_STRING", shape: tuple[int, ...] = (1,), content: bytes = b"", **values: Any
) -> bytes:
    """A request with one tensor, put together by hand."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    proto = message.inputs["image_bytes"]
    proto.dtype = types_pb2.DataType.Value(dtype)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = content
    for name, value in values.items():
        getattr(proto, name).extend(value)
    data: bytes = message.SerializeToString()
    return data


@pytest.mark.usefixtures("takes_no_memory")
class TestTensors:
    @pytest.mark.parametrize(
        ("shape", "values"),
        [
            ((30_000_000,), [b""]),
            ((30_000_000,), []),
            ((2,), [b"a"]),
            ((1,), [b"a", b"b"]),
            ((-1,), [b"a"]),
            ((1, -1, -1), [b"a"]),
            ((2**62, 4), [b"a"]),
            ((2**63 - 1,), [b"a"]),
            ((1,) * 300, [b"a"]),
            ((0, 2**40), [b"a"]),
        ],
    )
    def test_shape_against_strings(self, send, shape, values):
        code, details = send(tensor(shape=shape, string_val=values))

        assert code is INVALID
        assert "not well-formed" in details

    @pytest.mark.parametrize(
        ("dtype", "more"),
        [
            ("DT_FLOAT", {"float_val": [1.0]}),
            ("DT_DOUBLE", {"double_val": [1.0]}),
            ("DT_INT32", {"int_val": [1]}),
            ("DT_INT64", {"content": b"12345678"}),
            ("DT_HALF", {"half_val": [1]}),
            ("DT_BOOL", {}),
            ("DT_COMPLEX64", {"scomplex_val": [1.0]}),
            ("DT_STRING", {"content": b"abc"}),
            ("DT_RESOURCE", {}),
            ("DT_VARIANT", {}),
            ("DT_QINT8", {"int_val": [1]}),
            ("DT_INVALID", {}),
            ("DT_FLOAT_REF", {}),
        ],
    )
    def test_every_type(self, send, dtype, more):
        assert send(tensor(dtype, (500_000_000,), **more))[0] is INVALID

    def test_unknown_rank(self, send):
        message = predict_pb2.PredictRequest.FromString(tensor(string_val=[RED]))
        message.inputs["image_bytes"].tensor_shape.unknown_rank = True

        assert send(message.SerializeToString())[0] is INVALID

    @pytest.mark.parametrize(
        "data",
        [
            b"\x12\x00" * 3_000_000,  # inputs
            b"\x1a\x00" * 3_000_000,  # output_filter
            b"\x12\x80\x80\x80\x02" + b"\x0a\x00" * 100,
            b"no message at all",
            tensor(string_val=[b""] * 3_000_000),
        ],
    )
    def test_very_many_parts(self, send, data):
        assert send(data)[0] is INVALID

    def test_larger_than_the_limit(self, send):
        code, _ = send(tensor(string_val=[bytes(33 << 20)]))

        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_numbers_still_arrive(served: Served) -> None:
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "toy", "half_plus_three"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.arange(30, dtype=np.float32)))
    with grpc.insecure_channel(served.grpc) as channel:
        answer = channel.unary_unary(PREDICT)(message.SerializeToString(), timeout=SECONDS)
    found = tf.make_ndarray(predict_pb2.PredictResponse.FromString(answer).outputs["y"])

    np.testing.assert_allclose(found, np.arange(30) / 2 + 3)


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


def instances(*images: bytes) -> str:
    return json.dumps({"instances": [b64(image) for image in images]})


@pytest.mark.usefixtures("takes_no_memory")
class TestPictures:
    @pytest.mark.parametrize(
        ("images", "limit"),
        [
            ((RED,) * 33, "--max-batch"),
            ((bomb(),), "--max-megapixels"),
            ((bomb(8000, 5000),) * 2, "80.0 megapixels, at most 64"),
        ],
    )
    def test_refused(self, served, send, images, limit):
        response = requests.post(f"{served.model_url}:predict", instances(*images), timeout=SECONDS)
        code, details = send(tensor(shape=(len(images),), string_val=images))

        assert response.status_code == 400
        assert limit in response.json()["error"]
        assert code is INVALID
        assert limit in details

    def test_whole_batch(self, served):
        response = requests.post(
            f"{served.model_url}:predict", instances(*[RED] * 32), timeout=SECONDS
        )
        rows = response.json()["predictions"]

        assert len(rows) == 32
        assert rows[0] == rows[31]


@pytest.mark.usefixtures("takes_no_memory")
class TestBodies:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_too_large(self, served, chunked):
        body = bytes(1 << 20)
        data: Any = (body for _ in range(40)) if chunked else body * 40
        response = requests.post(f"{served.model_url}:predict", data, timeout=SECONDS)

        assert response.status_code == 413
        assert "32 MiB (--max-request-mib)" in response.json()["error"]

    @pytest.mark.parametrize(
        "body",
        [
            "[" * 1000 + "]" * 1000,
            '{"instances": ' + "[" * 1000 + "]" * 1000 + "}",
            '{"instances": [' + '{"b64":' * 800 + '""' + "}" * 800 + "]}",
            '{"instances": [[1], 1, [[1, 2], 3]]}',
            '{"instances": [[1], [1, 2]], "signature_name": "half_plus_three"}',
            json.dumps(list(range(900_000))),
            json.dumps({"instances": {"a" * 900_000: 1}}),
            "[" + "{}," * 5_000_000 + "1]",
            '{"signature_name": "half_plus_three", "instances": [' + "1.5," * 5_000_000 + "1]}",
        ],
    )
    def test_json(self, served, body):
        response = requests.post(f"{served.model_url}:predict", body, timeout=SECONDS)

        assert response.status_code == 400
        assert len(response.json()["error"]) < 500

    @pytest.mark.parametrize("path", [":predict", f"/versions/{'9' * 5000}", "/versions/-1"])
    def test_paths(self, served, path):
        assert requests.get(served.model_url + path, timeout=SECONDS).status_code == 400

    @pytest.mark.slow
    def test_header_without_an_end(self, served):
        host, port = served.rest.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=SECONDS) as half:
            half.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\n")
            assert half.recv(100) == b""


@pytest.mark.slow
def test_options_and_a_full_queue(toy_model: Path, tmp_path: Path) -> None:
    served = start_server(
        toy_model,
        *("--max-batch", "2", "--max-megapixels", "1", "--max-request-mib", "1"),
        *("--max-waiting", "1"),
    )
    try:
        url = f"{served.model_url}:predict"
        for body, status in (
            (instances(RED, RED), 200),
            (instances(RED, RED, RED), 400),
            (instances(bomb(1001, 1000)), 400),
            (b"x" * (2 << 20), 413),
        ):
            assert requests.post(url, body, timeout=SECONDS).status_code == status
        ended = tmp_path / "ended"
        body = json.dumps({"signature_name": "wait", "instances": [str(ended)]})
        with ThreadPoolExecutor(12) as pool:
            found = [pool.submit(requests.post, url, body, timeout=SECONDS) for _ in range(12)]
            futures.wait(found, return_when=futures.FIRST_COMPLETED)  # one that is refused
            ended.touch()
            statuses = [answer.result().status_code for answer in found]
        assert set(statuses) == {200, 429}
        assert requests.post(url, instances(RED), timeout=SECONDS).status_code == 200
    finally:
        served.process.terminate()
        assert served.process.wait(SECONDS) == 0


class TestMutations:
    """Requests that are nearly right: the client's error, never the server's."""

    BODY = json.dumps(
        {"signature_name": "", "instances": [{"b64": base64.b64encode(RED).decode()}] * 2}
    ).encode()

    def test_bodies(self, served):
        rng = random.Random("bodies")
        with requests.Session() as session:
            for _ in range(120):
                body = mutated(self.BODY, rng, json_text=True)
                path = rng.choice((":predict", "/versions/12:predict", ":predict", "/metadata"))
                answer = session.post(served.model_url + path, body, timeout=SECONDS)
                assert answer.status_code < 500, (body, answer.text)
            good = session.post(f"{served.model_url}:predict", self.BODY, timeout=SECONDS)
        assert good.status_code == 200

    def test_whole_requests(self, served):
        rng = random.Random("requests")
        host = served.rest.removeprefix("http://")
        name, _, port = host.partition(":")
        head = (
            f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.BODY)}\r\n\r\n"
        )
        for _ in range(60):
            data = mutated(head.encode(), rng, json_text=False) + self.BODY
            with socket.create_connection((name, int(port)), timeout=SECONDS) as one:
                with suppress(OSError):
                    one.sendall(data)
                    one.shutdown(socket.SHUT_WR)
                with suppress(OSError):
                    assert not one.recv(1 << 16).startswith(b"HTTP/1.1 5"), data
        assert requests.post(f"{served.model_url}:predict", self.BODY, timeout=SECONDS).ok

    def test_messages(self, served):
        rng = random.Random("messages")
        good = tensor(string_val=[RED])
        with grpc.insecure_channel(served.grpc) as channel:
            call = channel.unary_unary(PREDICT)
            for _ in range(200):
                data = mutated(good, rng, json_text=False)
                code = call.future(data, timeout=SECONDS).code()  # waits for it
                assert code not in SERVERS_FAULT, data
            assert call(good, timeout=SECONDS)
        assert served.process.poll() is None
