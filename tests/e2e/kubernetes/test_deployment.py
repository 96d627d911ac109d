"""Deployment on the cluster that KUBECONFIG names: `make e2e`.

The cluster needs KServe and what manifests/ describes; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY lead to its object store from here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import run_files
from support.blob_detector import save_blob_model, write_blob_records

from kfdet.cli import main
from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.cluster.connection import connect
from kfdet.deployment.endpoint import Release
from kfdet.deployment.gate import Decision, note_refusal
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.rollout import Options, check_deployment, roll_back, roll_out, share_out
from kfdet.deployment.smoke_test import (
    LabelledPicture,
    _detector,
    smoke_test,
    validation_pictures,
)
from kfdet.errors import KfdetError
from kfdet.stages import deployment as deployment_stage
from kfdet.storage.shards import open_records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

NAME = f"blobs-{uuid.uuid4().hex[:6]}"
NAMESPACE = names.NAMESPACE


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    connected = connect(NAMESPACE)
    yield connected
    connected.delete(NAME)
    connected.delete(NAME + names.CANDIDATE_SUFFIX)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder as far as a deployment looks at it."""
    folder = tmp_path_factory.mktemp("run")
    save_blob_model(folder / "model")
    (folder / "run.json").write_text(json.dumps(run_files.record()))
    metrics = run_files.metrics(verdict_reasons=["Good."])
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_blob_records(folder / "artifacts" / "run-1" / "tfrecord-build" / "records")
    return folder


def deploy(run: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()  # of the commands before
    status = main(["deploy", str(run), "--name", NAME, "-n", NAMESPACE, "--json", *options])
    out, err = capsys.readouterr()
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_two_versions_without_an_interruption(
    cluster: Cluster, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = deploy(run, capsys)
    assert first["ready"]
    (note := run / "model" / "1" / "assets.extra" / "note.txt").write_text("second")
    picture = pictures(run)[0]
    answers: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        endpoint = read(cluster.get(NAME) or {})
        while not ended.is_set():
            try:
                with _detector(cluster, endpoint) as detector:
                    found = detector.detect(picture.image)
                answers.append("seen" if len(found.labels) else "nothing")
            except KfdetError as error:
                answers.append(str(error))
            time.sleep(0.1)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        second = deploy(run, capsys)
        assert second["version"] != first["version"]
        assert second["previous"] == first["version"]
        back = roll_back(cluster, NAME, Options(), smoke(cluster, run))
        assert back.serving.stable.version == first["version"]
    finally:
        ended.set()
        asking.join()
        note.unlink()
    assert len(answers) > 20
    assert set(answers) == {"seen"}
    assert main(["endpoints", "-n", NAMESPACE, "--json"]) == 0
    listed = {e["name"]: e for e in json.loads(capsys.readouterr().out)}
    assert listed[NAME]["version"] == first["version"]
    assert listed[NAME]["previous"] == second["version"]
    assert NAME + names.CANDIDATE_SUFFIX not in listed


def smoke(cluster: Cluster, run: Path) -> Any:
    return functools.partial(smoke_test, cluster, pictures(run))


def pictures(run: Path) -> list[LabelledPicture]:
    """What a deployment of the run looks at."""
    (folder,) = run.rglob("records")
    with open_records(folder) as records:
        return validation_pictures(records)


@pytest.fixture
def endpoint(cluster: Cluster, run: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The endpoint as it is; the test must leave it serving the same, with no candidate."""
    before = deploy(run, capsys, "--force")["version"]
    yield check_deployment(cluster, NAME, 0)
    after = read(cluster.get(NAME) or {}).serving
    candidate = cluster.get(NAME + names.CANDIDATE_SUFFIX)
    cluster.delete(NAME + names.CANDIDATE_SUFFIX)  # the next test finds it in order
    if after.stable.version != before:
        deploy(run, capsys, "--force")
    assert (after.stable.version, candidate) == (before, None)


def running(cluster: Cluster) -> set[str]:
    """The pods that are not being ended."""
    found = [pod["metadata"] for pod in cluster.pods(NAME)]
    return {pod["uid"] for pod in found if "deletionTimestamp" not in pod}


def settled(cluster: Cluster) -> set[str]:
    """The pods, once the rollout of what was done before is over."""
    before: set[str] = set()
    while before != (now := running(cluster)):
        before = now
        time.sleep(15)
    return now


def test_what_is_noted_restarts_no_pod(
    cluster: Cluster, run: Path, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settled(cluster)
    deploy(run, capsys)
    deployed = read(cluster.get(NAME) or {})
    assert deployed.newest.started > endpoint.newest.started
    note_refusal(cluster, NAME, run / "model", Decision(False, "Worse.", endpoint))
    time.sleep(15)  # KServe reconciles within a second
    assert running(cluster) == before
    refused = read(cluster.get(NAME) or {}).refused
    assert refused
    assert refused.reason == "Worse."


def test_a_model_that_is_not_in_the_bucket(cluster: Cluster, run: Path, endpoint: Any) -> None:
    gone = Release("0" * 12, f"s3://kfdet/models/{NAME}/{'0' * 12}")
    with pytest.raises(KfdetError, match=r"the model cannot be fetched from s3://kfdet/models/"):
        roll_out(cluster, NAME, endpoint, gone, Options(timeout=180), smoke(cluster, run))


def test_a_previous_version_that_is_gone(cluster: Cluster, run: Path, endpoint: Any) -> None:
    lost = Release("1" * 12, f"s3://kfdet/models/{NAME}/{'1' * 12}")
    serving = dataclasses.replace(endpoint.serving, previous=lost)
    cluster.apply(build(NAME, NAMESPACE, serving, endpoint.mode, endpoint.capacity))
    with pytest.raises(KfdetError, match=rf"{NAME}-candidate is not ready: .*cannot be fetched"):
        roll_back(cluster, NAME, Options(timeout=180), smoke(cluster, run))


def test_what_somebody_else_changed(
    cluster: Cluster, run: Path, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from kubernetes import client, config

    config.load_kube_config()
    client.CustomObjectsApi().patch_namespaced_custom_object(
        names.GROUP,
        "v1beta1",
        NAMESPACE,
        names.PLURAL,
        NAME,
        {"spec": {"predictor": {"model": {"runtime": "another"}}}},
        field_manager="somebody",
    )
    (note := run / "model" / "1" / "assets.extra" / "note.txt").write_text("third")
    try:
        assert main(["deploy", str(run), "--name", NAME, "-n", NAMESPACE]) == 2
    finally:
        note.unlink()
    error = capsys.readouterr().err
    assert (
        f'somebody else has changed {NAME}: .spec.predictor.model.runtime: conflict with "som'
        in error
    )
    deploy(run, capsys, "--force")


def test_a_canary_or_a_clear_word(
    cluster: Cluster, run: Path, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (note := run / "model" / "1" / "assets.extra" / "note.txt").write_text("trial")
    arguments = ["deploy", str(run), "--name", NAME, "-n", NAMESPACE, "--canary-percent", "20"]
    generation = (cluster.get(NAME) or {})["metadata"]["generation"]
    try:
        status = main(arguments)
    finally:
        note.unlink()
    err = capsys.readouterr().err
    if status:
        assert "cannot share requests between two versions" in err
        assert (cluster.get(NAME) or {})["metadata"]["generation"] == generation
    else:
        trial = read(cluster.get(NAME) or {})
        assert trial.serving.canary
        assert trial.serving.canary.percent == 20
        half = share_out(cluster, NAME, 50, Options())
        assert half.serving.canary
        assert half.serving.canary.percent == 50
        roll_back(cluster, NAME, Options(), smoke(cluster, run))


def test_replicas_and_what_an_administrator_sets(
    cluster: Cluster, run: Path, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Server-side apply leaves to others what they have set; kfdet keeps what it was asked for."""
    from kubernetes import client, config

    scale = ["scale", NAME, "-n", NAMESPACE, "--replicas"]
    note = run / "model" / "1" / "assets.extra" / "note.txt"
    try:
        assert main([*scale, "2", "--serving-cpu", "100m"]) == 0
        deadline = time.monotonic() + 60
        while len(running(cluster)) != 2:
            assert time.monotonic() < deadline
            time.sleep(1)
        note.write_text("scaled")
        assert deploy(run, capsys)["replicas"] == 2
        note.unlink()
        config.load_kube_config()
        patch = {"spec": {"predictor": {"minReplicas": 1}}}
        client.CustomObjectsApi().patch_namespaced_custom_object(
            names.GROUP, "v1beta1", NAMESPACE, names.PLURAL, NAME, patch, field_manager="somebody"
        )
        deploy(run, capsys, "--replicas", "2")
        assert (cluster.get(NAME) or {})["spec"]["predictor"]["minReplicas"] == 1
    finally:
        note.unlink(missing_ok=True)
        scaled_back = main([*scale, "1", "--force"])
    assert scaled_back == 0


# --- of two runs the one that was started later ---


def test_an_older_run_leaves_a_newer_version_alone(
    cluster: Cluster,
    run: Path,
    endpoint: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A superseded deployment succeeds and says so; a retry does not take the endpoint back."""
    monkeypatch.setattr(deployment_stage, "connect_to_deploy", lambda _: cluster)
    (records,) = run.rglob("records")
    (note := run / "model" / "1" / "assets.extra" / "note.txt").write_text("older")
    try:
        for _ in range(2):
            _, version, decision = deployment_stage.deploy(
                *(run / "model", run / "metrics.json", records, run / "metrics.json"),
                tmp_path / "outcome",
                endpoint=NAME,
                model_root="minio://kfdet/models",
                canary_percent=0,
                promote="always",
                rival="",
                started="2020-01-01T00:00:00.000+00:00",
            )
            assert version == endpoint.serving.stable.version
            assert decision.startswith("Superseded")
    finally:
        note.unlink()
    assert "Superseded" in json.loads((tmp_path / "outcome").read_text())["decision"]
