"""A served model among clients that mean harm: what a good one notices, and what it costs.

    python -m benchmarks.hostile_clients [MODEL_DIR]

A good client sends one picture after the other over REST, first alone, then beside eight clients
that send pictures of very many pixels, batches beyond the limit, and bodies that come drop by drop.
Besides, each kind of hostile request is sent once while nothing else happens, over REST and gRPC.
Without MODEL_DIR a model is trained for a few steps on the sample.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import requests
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.endpoint import NAME, Server, camera_image, served, small_model
from benchmarks.table import Row, print_table
from kfdet.detection import Detector

REQUESTS, WARM_UP = 100, 10
RECOVERY_SECONDS = 30
SLOWER, MEMORY = 3.0, 1.5
"""The most that hostile clients may make of a good one's latency, and of the server's memory."""
WORST_MIB, WORST_SECONDS = 1024.0, 5.0
"""The most that a single request may take."""

_TIMEOUT = 60
_FLOAT, _STRING, _RESOURCE = 1, 7, 20
"""Types of tensors, in TensorFlow's types.proto."""

Send = Callable[[Server], None]


def measure(model: Path | None = None) -> list[Row]:
    """Measure single hostile requests, then a good client alone and beside eight hostile ones."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = model or small_model(Path(scratch))
        with served(folder) as server, server.over_rest() as client:
            _latencies(client, WARM_UP)
            baseline = _mib(server, "VmRSS")
            worst = {
                name: [_cost(server, send, baseline) for send in sends]
                for name, sends in (("REST", _over_rest()), ("gRPC", _over_grpc()))
            }
            alone = _latencies(client, REQUESTS)
            with _hostile_clients(server):
                beside = _latencies(client, REQUESTS)
            time.sleep(RECOVERY_SECONDS)
            after = _mib(server, "VmRSS")
    disturbed, quiet = (float(np.percentile(times, 99)) * 1000 for times in (beside, alone))
    slower = quiet / disturbed
    rows = [
        Row("good client beside 8 hostile ones, p99", disturbed, quiet, "ms", slower, 1 / SLOWER),
        Row("server's memory 30 s later", after, baseline, "MiB", baseline / after, 1 / MEMORY),
    ]
    for name, costs in worst.items():
        mib, seconds = (max(values) for values in zip(*costs, strict=True))
        title = f"worst single request over {name}"
        rows += [
            Row(f"{title}: memory", mib, WORST_MIB, "MiB", WORST_MIB / max(mib, 1), 1),
            Row(f"{title}: time", seconds, WORST_SECONDS, "s", WORST_SECONDS / seconds, 1),
        ]
    return rows


def _latencies(client: Detector, count: int) -> list[float]:
    """Return the seconds of requests, one after the other."""
    image, times = camera_image(), []
    for _ in range(count):
        started = time.perf_counter()
        client.detect(image)
        times.append(time.perf_counter() - started)
    return times


def _cost(server: Server, send: Send, baseline: float) -> tuple[float, float]:
    """Return the MiB above the baseline and the seconds that a request takes."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # a new peak
    started = time.perf_counter()
    send(server)
    seconds = time.perf_counter() - started
    return _mib(server, "VmHWM") - baseline, seconds


def _mib(server: Server, name: str) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def _pictures() -> dict[str, list[bytes]]:
    """Return batches of pictures that cost much."""
    small = _encoded(Image.new("RGB", (64, 64)), "PNG")
    return {
        "large PNG": [_encoded(Image.new("RGB", (8000, 8000), (9, 9, 9)), "PNG")],
        "larger PNG": [_encoded(Image.new("RGB", (13000, 13000)), "PNG")],
        "progressive JPEG": [_encoded(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True)],
        "GIF": [_encoded(Image.new("P", (5000, 5000)), "GIF")],
        "batch": [small] * 32,
        "large batch": [small] * 1000,
    }


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _body(pictures: list[bytes]) -> bytes:
    rows = [{"b64": base64.b64encode(picture).decode()} for picture in pictures]
    return json.dumps({"instances": rows}).encode()


def _over_rest() -> list[Send]:
    bodies = [_body(pictures) for pictures in _pictures().values()]
    bodies += [
        b'{"instances":[' + b"1.5," * 7_000_000 + b"1]}",
        b'{"instances":[' + b"{}," * 3_900_000 + b"1]}",
        b'{"instances":' + b"[" * 1_000_000,
        b"x" * (60 << 20),
    ]
    return [partial(_post, body=body) for body in bodies]


def _post(server: Server, body: bytes) -> None:
    with suppress(requests.ConnectionError):  # refused before all of it was read
        requests.post(f"{server.rest}/v1/models/{NAME}:predict", body, timeout=_TIMEOUT)


def _over_grpc() -> list[Send]:
    batches = [(_STRING, [len(pictures)], pictures) for pictures in _pictures().values()]
    tensors = [
        *batches,
        (_STRING, [30_000_000], [b""]),
        (_STRING, [1 << 62, 1 << 62], [b"x"]),
        (_FLOAT, [50_000, 50_000], []),
        (_RESOURCE, [1], []),
        (_STRING, [60], [b"x" * (1 << 20)] * 60),
    ]
    return [
        partial(_predict, kind=kind, shape=shape, texts=texts) for kind, shape, texts in tensors
    ]


def _predict(server: Server, kind: int, shape: list[int], texts: list[bytes]) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    tensor = request.inputs["image_bytes"]
    tensor.dtype = kind
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.string_val.extend(texts)
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options) as channel, suppress(grpc.RpcError):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(request, timeout=_TIMEOUT)


@contextmanager
def _hostile_clients(server: Server) -> Iterator[None]:
    """Eight clients that send without a pause until the block ends."""
    ended = threading.Event()
    pictures = {name: _body(batch) for name, batch in _pictures().items()}

    def send(name: str) -> None:
        while not ended.wait(0.05):
            _post(server, pictures[name])

    def drip() -> None:
        host, _, port = server.rest.removeprefix("http://").partition(":")
        head = f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: {host}\r\n"
        while not ended.wait(0.05):
            with suppress(OSError), socket.create_connection((host, int(port))) as connection:
                connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
                while not ended.wait(0.2):
                    connection.sendall(b"x" * 100)

    work: list[Callable[[], None]] = [
        partial(send, name) for name in ("large PNG", "progressive JPEG", "batch") for _ in "12"
    ]
    work += [partial(send, "large batch"), drip]
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    time.sleep(2)
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL_DIR", help="RUN/model")
    print_table(measure(parser.parse_args().model))


if __name__ == "__main__":
    main()
