"""Runs that somebody or something disturbs, and runs that cannot work: `make e2e`."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from support.cluster_runs import (
    DATASET,
    NAME,
    QUICK,
    SMALL,
    following,
    fresh,
    kill,
    objects,
    running_pod,
    start,
    tasks,
    trained_anew,
    wait_for,
)
from support.command_line import kfdet_on_cluster as kfdet
from support.stage_names import STAGES

from kfdet.cluster.connection import connect as connect_cluster
from kfdet.cluster.names import GROUP, NAMESPACE, PLURAL, STORAGE_SECRET
from kfdet.cluster.parameters import pipeline_root
from kfdet.errors import InputError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.following import ENDED
from kfdet.kubeflow.logs import Logs
from kfdet.kubeflow.orders import upload_pipeline
from kfdet.pipelines.compilation import Compilation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

# A place of their own: a training with the same data and settings would continue an older one's.
CHECKPOINTS = f"minio://kfdet/checkpoints/{NAME}"
LONG = (*QUICK, "--steps", "240", "--early-stop", "0", "--checkpoint-root", CHECKPOINTS)
"""Long enough to be disturbed; the last of an option given twice counts."""

UNKNOWN = "the cluster does not know InferenceServices"


def delete(core: Any, pod: str) -> None:
    """Take the pod away as somebody does who empties its node."""
    core.delete_namespaced_pod(pod, NAMESPACE)


def test_a_killed_training_pod_continues(backend: Backend, dataset: str, core: Any) -> None:
    """Killed for its memory first, and taken away with its node afterwards."""
    known = {entry.etag for entry in objects(CHECKPOINTS)}
    run_id = start(backend, *LONG, *trained_anew())
    pod = ""
    for attempt, end in enumerate((kill, delete), start=1):
        pod = wait_for(partial(another_pod, backend, run_id, pod))
        if end is delete and not core.read_namespaced_pod(pod, NAMESPACE).metadata.finalizers:
            break  # this Argo forgets deleted pods: ARGO_POD_STATUS_CAPTURE_FINALIZER is not set
        known |= wait_for(partial(written_since, known))
        end(core, pod)
        wait_for(partial(tried_again, backend, run_id, attempt), 400)
    done = kfdet("submit", "--follow", run_id, "--json")
    assert done.returncode == 0, done.stderr
    last = tasks(backend, run_id)["training"].pod
    log = core.read_namespaced_pod_log(last, NAMESPACE, container="main")
    assert re.search(r"restored from checkpoint: \S*ckpt-[1-9]", log), "it began anew"


def another_pod(backend: Backend, run_id: str, before: str) -> str:
    """The pod of the training, once it runs and is another one than before."""
    pod = running_pod(backend, run_id, "training")
    return "" if pod == before else pod


def tried_again(backend: Backend, run_id: str, attempt: int) -> bool:
    """Whether the training has had more than so many attempts."""
    return tasks(backend, run_id)["training"].attempt > attempt


def written_since(known: Collection[str]) -> set[str]:
    """The ETags of files that name a training's newest checkpoint, without those known."""
    states = (entry for entry in objects(CHECKPOINTS) if entry.name.endswith("/checkpoint"))
    return {entry.etag for entry in states} - {*known}


def test_a_store_that_is_away_for_a_minute_loses_nothing(
    backend: Backend, dataset: str, core: Any
) -> None:
    from kubernetes import client

    apps = client.AppsV1Api(core.api_client)
    for kind in ("deployment", "stateful_set"):
        scale = getattr(apps, f"patch_namespaced_{kind}_scale")
        with suppress(client.ApiException):
            getattr(apps, f"read_namespaced_{kind}")("minio", NAMESPACE)
            break
    else:
        pytest.skip("the object store is not in the cluster")
    run_id = start(backend, *LONG, *trained_anew())
    wait_for(lambda: running_pod(backend, run_id, "training"))
    time.sleep(20)
    scale("minio", NAMESPACE, {"spec": {"replicas": 0}})
    try:
        time.sleep(60)
    finally:
        scale("minio", NAMESPACE, {"spec": {"replicas": 1}})
    done = kfdet("submit", "--follow", run_id, "--json")
    assert done.returncode == 0, done.stderr
    states = {stage["stage"]: stage["state"] for stage in json.loads(done.stdout)["stages"]}
    assert set(states) == set(STAGES)
    logged = {entry.name.partition("/")[0] for entry in objects("minio://kfdet/tensorboard")}
    wait_for(lambda: logged <= shown_by_tensorboard(), 120)


def shown_by_tensorboard() -> set[str]:
    """The trainings that the TensorBoard of all runs knows."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/kfdet-tensorboard:http/proxy/data/runs"
    return {run.partition("/")[0] for run in connect_cluster(NAMESPACE)._request("GET", path)}


def test_a_bad_parameter_from_the_ui_fails_once(backend: Backend, dataset: str) -> None:
    pipeline_id, version_id, _ = upload_pipeline(backend, Compilation())
    run_id = backend.start(
        f"{NAME} bad",
        backend.experiment("kfdet"),
        {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
        {"dataset": dataset, "network": "resnet"},
        pipeline_root("kfdet"),
    )
    assert wait_for(lambda: (state := backend.run(run_id)["state"]) in ENDED and state) == "FAILED"
    ended = tasks(backend, run_id)
    assert {stage for stage, task in ended.items() if task.state != "skipped"} == {"fingerprint"}
    assert ended["fingerprint"].attempt == 1
    assert "network must be one of" in ended["fingerprint"].message


def test_two_equal_trainings_at_once(backend: Backend, dataset: str) -> None:
    """One waits for the other, and then has nothing left to train."""
    same = trained_anew()
    root = ("--checkpoint-root", f"{CHECKPOINTS}-twice")
    runs = [start(backend, *LONG, *same, *root) for _ in range(2)]
    logs = Logs(backend)
    pods = [wait_for(partial(running_pod, backend, r, "training")) for r in runs]

    def waits() -> bool:
        found = zip(runs, pods, strict=True)
        texts = [logs.read(backend.workflow(run), run, pod) for run, pod in found]
        return any("waiting until it ends" in text for text in texts)

    wait_for(waits, 300)
    for run_id in runs:
        done = kfdet("submit", "--follow", run_id, "--json")
        assert done.returncode == 0, done.stderr


# --- what is not there ends with what to do ---


def test_a_missing_bucket(dataset: str) -> None:
    done = kfdet("submit", f"minio://no-such-bucket-{NAME}/toys")
    assert done.returncode == 2
    assert "bucket" in done.stderr


def test_a_gpu_that_nobody_has(backend: Backend, dataset: str) -> None:
    run_id = start(
        backend, *QUICK, "--accelerator-type", "example.com/gpu", "--accelerator-count", "1"
    )
    with following(backend, run_id) as lines:
        wait_for(lambda: any("lower --accelerator-count" in line for line in lines), 600)
        (said,) = [line for line in lines if "training waits" in line]
        assert "Insufficient example.com/gpu" in said
    assert any(f"kfdet submit --follow {run_id}" in line for line in lines)


def test_wrong_credentials_in_the_cluster(backend: Backend, dataset: str, core: Any) -> None:
    secret = core.read_namespaced_secret(STORAGE_SECRET, NAMESPACE)
    right = {"data": {"AWS_SECRET_ACCESS_KEY": secret.data["AWS_SECRET_ACCESS_KEY"]}}
    wrong = {"data": {"AWS_SECRET_ACCESS_KEY": base64.b64encode(b"wrong").decode()}}
    core.patch_namespaced_secret(STORAGE_SECRET, NAMESPACE, wrong)
    try:
        run_id = start(backend, *QUICK, *fresh())
        with following(backend, run_id) as lines:
            wait_for(lambda: any("fingerprint" in line and "AWS_" in line for line in lines), 600)
    finally:
        core.patch_namespaced_secret(STORAGE_SECRET, NAMESPACE, right)


@contextmanager
def without_endpoints(core: Any) -> Iterator[None]:
    """The cluster as it is without KServe: it does not know InferenceServices.

    They are hidden, not deleted: nothing that is served stops.
    """
    from kubernetes import client

    elsewhere = {
        found["metadata"]["namespace"]
        for found in client.CustomObjectsApi(core.api_client).list_cluster_custom_object(
            GROUP, "v1beta1", PLURAL
        )["items"]
    } - {NAMESPACE}
    if elsewhere:
        pytest.skip(f"others use KServe here: {', '.join(sorted(elsewhere))}")
    extensions = client.ApiextensionsV1Api(core.api_client)
    name = f"{PLURAL}.{GROUP}"
    versions = extensions.read_custom_resource_definition(name).spec.versions

    def serve(wanted: bool) -> None:
        extensions.patch_custom_resource_definition(
            name,
            [
                {"op": "replace", "path": f"/spec/versions/{i}/served", "value": wanted}
                for i, version in enumerate(versions)
                if version.served
            ],
        )
        wait_for(lambda: knows_endpoints() == wanted, 60)

    serve(False)
    try:
        yield
    finally:
        serve(True)


def knows_endpoints() -> bool:
    try:
        connect_cluster(NAMESPACE).endpoints()
    except InputError as error:
        if UNKNOWN not in str(error):
            raise
        return False
    return True


def test_a_cluster_without_kserve(backend: Backend, first: dict[str, Any], core: Any) -> None:
    other = f"{NAME}-un"
    run_id = start(backend, *SMALL, "--endpoint", other)
    with without_endpoints(core):
        with following(backend, run_id) as lines:
            wait_for(lambda: any("deployment" in line and UNKNOWN in line for line in lines), 600)
        refused = [kfdet("endpoints", "-n", NAMESPACE)]
        if "KFDET_KFP_HOST" not in os.environ:  # an address does not tell which cluster it is
            refused.append(kfdet("submit", DATASET, "--endpoint", other))
    for done in refused:
        assert done.returncode == 2
        assert UNKNOWN in " ".join(done.stderr.split())
        assert "Install KServe" in done.stderr
    assert connect_cluster(NAMESPACE).get(first["endpoint"])
