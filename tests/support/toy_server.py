"""A small SavedModel with the signature that kfdet exports, and `kfdet serve` with it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from support.patience import SECONDS

NAME = "toy"


def write_toy_model(folder: Path) -> None:
    """Write a SavedModel in TensorFlow Serving's layout: versions 9 (broken) and 12, which counts.

    Its default signature is the one that kfdet exports: the "disc" fills the left half of every
    picture, the "square" its middle; their scores are the mean red and green. Another signature is
    the half_plus_three of TensorFlow Serving's documentation; one has the documentation's several
    inputs; one writes the file FILE.started and waits until there is a file FILE.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    def detect_one(encoded: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        return tf.reduce_mean(tf.cast(image, tf.float32) / 255, axis=[0, 1])[:2]

    def detect(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.map_fn(detect_one, image_bytes, fn_output_signature=tf.float32)
        count = tf.shape(scores)[0]
        boxes = [[0.0, 0.0, 1.0, 0.5], [0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 0.0, 0.0]]
        return {
            "detection_boxes": tf.tile(tf.constant([boxes]), [count, 1, 1]),
            "detection_scores": tf.pad(scores, [[0, 0], [0, 1]]),
            "detection_classes": tf.tile(tf.constant([[1, 2, 0]], tf.int64), [count, 1]),
            "detection_class_names": tf.tile(tf.constant([["disc", "squäre", ""]]), [count, 1]),
            "num_detections": tf.fill([count], 2),
        }

    def half_plus_three(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + 3}

    def several(tag: tf.Tensor, signal: tf.Tensor, sensor: tf.Tensor) -> dict[str, tf.Tensor]:
        total = tf.reduce_sum(signal, axis=1) + tf.reduce_sum(sensor, axis=[1, 2])
        return {"total": total, "tag_bytes": tag, "known": tf.equal(tag, "foo")}

    def wait(file: tf.Tensor) -> dict[str, tf.Tensor]:
        def found(name: tf.Tensor) -> tf.Tensor:
            return tf.size(tf.io.matching_files(name)) > 0

        with tf.control_dependencies([tf.io.write_file(file[0] + ".started", "")]):
            name = tf.identity(file[0])  # the loop keeps one of TensorFlow's few threads busy
        (name,) = tf.while_loop(lambda name: not found(name), lambda name: (name,), (name,))
        return {"found": tf.fill(tf.shape(file), found(name))}

    def function(body: Callable[..., object], *inputs: tf.TensorSpec) -> object:
        return tf.function(body, input_signature=inputs).get_concrete_function()

    module = tf.Module()
    signatures = {
        "serving_default": function(detect, tf.TensorSpec([None], tf.string, "image_bytes")),
        "half_plus_three": function(half_plus_three, tf.TensorSpec([None], tf.float32, "x")),
        "several": function(
            several,
            tf.TensorSpec([None], tf.string, "tag"),
            tf.TensorSpec([None, 5], tf.int32, "signal"),
            tf.TensorSpec([None, 2, 2], tf.int32, "sensor"),
        ),
        "wait": function(wait, tf.TensorSpec([None], tf.string, "file")),
    }
    tf.saved_model.save(module, str(folder / "12"), signatures=signatures)
    (folder / "9").mkdir()
    (folder / "9" / "saved_model.pb").write_bytes(b"an older version that nobody should load")


def picture(width: int, height: int, colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    """One colour all over."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), colour, np.uint8)).save(file, kind)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Served:
    process: subprocess.Popen[str]
    rest: str
    grpc: str

    @property
    def model_url(self) -> str:
        return f"{self.rest}/v1/models/{NAME}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_server(model: Path, *options: str) -> Served:
    """`kfdet serve` as a process, ready."""
    rest, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kfdet", "serve", str(model), "--model-name", NAME),
            *("--host", "127.0.0.1", "--rest-api-port", str(rest), "--port", str(grpc)),
            *options,
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    served = Served(process, f"http://127.0.0.1:{rest}", f"127.0.0.1:{grpc}")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(served.model_url, timeout=SECONDS).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.2)
        else:
            return served
    process.kill()
    pytest.fail(f"the server did not start: {process.communicate()[1]}")
