"""A served model beside the same SavedModel in this process: `make e2e`.

The ports of the endpoint's Service are forwarded by kubectl, so that it need not be reachable from
here.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagesize
import numpy as np
import pytest
from support import run_files
from support.blob_detector import save_blob_model, write_blob_records

from kfdet.cli import main
from kfdet.cluster import names
from kfdet.cluster.connection import connect as connect_cluster
from kfdet.deployment.smoke_test import validation_pictures
from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model
from kfdet.serving.model import load_model
from kfdet.storage.shards import open_records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]

NAME = f"same-{uuid.uuid4().hex[:6]}"


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """A port of this machine that leads to `port` of the endpoint's Service."""
    command = ["kubectl", "-n", names.NAMESPACE, "port-forward", f"service/{NAME}-predictor"]
    with subprocess.Popen([*command, f":{port}"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield int(found[1])
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is served under NAME."""
    folder = tmp_path_factory.mktemp("run")
    save_blob_model(folder / "model")
    (folder / "run.json").write_text(json.dumps(run_files.record()))
    (folder / "metrics.json").write_text(json.dumps(run_files.metrics()))
    write_blob_records(folder / "artifacts" / "run-1" / "tfrecord-build" / "records")
    assert main(["deploy", str(folder), "--name", NAME, "-n", names.NAMESPACE]) == 0
    yield folder
    connect_cluster(names.NAMESPACE).delete(NAME)


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("grpc", 9000)])
def test_predictions_are_those_of_the_local_model(run: Path, scheme: str, port: int) -> None:
    local = load_model(find_saved_model(run / "model"), NAME)
    (folder,) = run.rglob("records")
    with open_records(folder) as records:
        pictures = validation_pictures(records)
    assert pictures
    with (
        forwarded(port) as here,
        Detector.load(f"{scheme}://127.0.0.1:{here}", name=NAME) as detector,
    ):
        for picture in pictures:
            served = detector.detect(picture.image)
            image = np.array([picture.image], object)
            alone = {k: v[0] for k, v in local.predict({"image_bytes": image}).outputs.items()}
            count = int(alone["num_detections"])
            assert len(served.labels) == count > 0
            labels = [name.decode() for name in alone["detection_class_names"][:count]]
            assert list(served.labels) == labels
            np.testing.assert_allclose(served.scores, alone["detection_scores"][:count], atol=1e-3)
            width, height = imagesize.get(io.BytesIO(picture.image))
            boxes = alone["detection_boxes"][:count][:, [1, 0, 3, 2]]
            scaled = served.boxes / [width, height, width, height]
            np.testing.assert_allclose(scaled, boxes, atol=1e-3)
