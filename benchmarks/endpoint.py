"""A served model beside the model alone: the overhead of a request.

    python -m benchmarks.endpoint [MODEL_DIR]

`kfdet serve` runs as a process of its own and is asked over the loopback. A request's overhead is
the client's time for the whole of it, image bytes to detections, less the time that the server says
its model took. Without MODEL_DIR a model is trained for a few steps on the sample: what it sees
does not matter here.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import simplejpeg

from benchmarks.table import Row, print_table
from kfdet.demo.sample import make_sample
from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model
from kfdet.serving.model import load_model

KFDET = (sys.executable, "-m", "kfdet")
NAME = "detector"
WIDTH, HEIGHT = 640, 480
WARM_UP, REQUESTS = 10, 100
LIMIT_MS = 5.0


def measure(model: Path | None = None) -> list[Row]:
    """Measure the overhead of REST and gRPC, and a request beside the model in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = model or small_model(Path(scratch))
        image = camera_image()
        local = load_model(find_saved_model(folder), NAME)
        inputs = {"image_bytes": np.array([image], object)}
        with served(folder) as server, server.over_rest() as rest, server.over_grpc() as grpc:
            alone: list[float] = []
            requests_: dict[str, list[tuple[float, float]]] = {"REST": [], "gRPC": []}
            # In turns, so that what else the machine does meets all of them.
            for _ in range(WARM_UP + REQUESTS):
                requests_["REST"].append(_request(rest, image))
                requests_["gRPC"].append(_request(grpc, image))
                alone.append(local.predict(inputs).seconds * 1000)
    model_ms = statistics.median(alone[WARM_UP:])
    rows = []
    for name, times in requests_.items():
        total = statistics.median(whole for whole, _ in times[WARM_UP:])
        overhead = statistics.median(over for _, over in times[WARM_UP:])
        title = f"endpoint, one image over {name}"
        rows += [
            Row(f"{title}: overhead", overhead, LIMIT_MS, "ms", LIMIT_MS / overhead, 1.0),
            Row(f"{title} / the model in this process", total, model_ms, "ms", model_ms / total, 0),
        ]
    return rows


def _request(detector: Detector, image: bytes) -> tuple[float, float]:
    """Return milliseconds of the whole request, and of its part outside the model."""
    started = time.perf_counter()
    found = detector.detect(image)
    seconds = time.perf_counter() - started
    if found.model_seconds is None:
        raise RuntimeError("the server does not say how long its model took")
    return seconds * 1000, (seconds - found.model_seconds) * 1000


def camera_image() -> bytes:
    """Return a JPEG as from a camera: smooth, with some noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([x * 255 / WIDTH, y * 255 / HEIGHT, (x + y) % 256], axis=2)
    noisy = smooth + np.random.default_rng(0).normal(0, 6, smooth.shape)
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8)), quality=90
    )
    return jpeg


def small_model(root: Path) -> Path:
    """Return the folder of a detector that was trained on the sample for a few steps."""
    make_sample(root / "dataset")
    command = [*KFDET, "run", str(root / "dataset"), "-o", str(root / "run"), "--steps", "20"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return root / "run" / "model"


@dataclass(frozen=True, slots=True)
class Server:
    """A process of `kfdet serve`, and the addresses of its two ports."""

    process: subprocess.Popen[bytes]
    rest: str
    grpc: str

    def over_rest(self) -> Detector:
        """Return a client of the REST API."""
        return Detector.load(self.rest, name=NAME)

    def over_grpc(self) -> Detector:
        """Return a client of the gRPC API."""
        return Detector.load(f"grpc://{self.grpc}", name=NAME)


@contextmanager
def served(model: Path) -> Iterator[Server]:
    """Run `kfdet serve` for the block."""
    rest, grpc = _free_port(), _free_port()
    process = subprocess.Popen(
        [
            *(*KFDET, "serve", str(model), "--model-name", NAME, "--host", "127.0.0.1"),
            *("--rest-api-port", str(rest), "--port", str(grpc)),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{rest}"
        _wait(f"{url}/v1/models/{NAME}", process)
        yield Server(process, url, f"127.0.0.1:{grpc}")
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            requests.get(url, timeout=10).raise_for_status()
        except requests.ConnectionError:
            if process.poll() is not None:
                raise RuntimeError("the server did not start") from None
            time.sleep(0.2)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL_DIR", help="RUN/model")
    print_table(measure(parser.parse_args().model))


if __name__ == "__main__":
    main()
