"""Beside other pipelines on the cluster that KUBECONFIG names: `make e2e`.

Runs of somebody else keep working with what manifests/ describes, and kfdet's when Kubeflow
Pipelines is applied again. Of an installation of Kubeflow Pipelines alone, whose ConfigMap has a
setting of kfdet's.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.compiler import Compiler
from support.cluster_runs import wait_for
from support.command_line import kfdet_on_cluster as kfdet

from kfdet.cluster.names import NAMESPACE
from kfdet.components.image import IMAGE
from kfdet.demo.sample import make_sample
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.workflow import artifact_uri, read_workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

NAME = f"neighbour-{uuid.uuid4().hex[:6]}"
LAUNCHER = "kfp-launcher"
ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}

ROOT = "minio://mlpipeline/v2/artifacts"
MANIFEST = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": LAUNCHER,
        "namespace": NAMESPACE,
        "labels": {"application-crd-id": "kubeflow-pipelines"},
    },
    "data": {"defaultPipelineRoot": ROOT},
}
"""As Kubeflow Pipelines has it: manifests/kustomize/base/pipeline/kfp-launcher-configmap.yaml."""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write(note: dsl.Output[dsl.Artifact]) -> None:
    with open(note.path, "w") as file:
        file.write("hello")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def read(note: dsl.Input[dsl.Artifact]) -> None:
    with open(note.path) as file:
        text = file.read()
    if text != "hello":
        raise ValueError(text)


@dsl.pipeline(name=NAME)
def hello() -> None:
    """A pipeline that knows nothing of kfdet, and uses the store of Kubeflow Pipelines."""
    written = write().set_caching_options(False)
    read(note=written.outputs["note"]).set_caching_options(False)


@pytest.fixture(scope="module")
def backend(backend: Backend) -> Backend:
    if backend.namespace:
        pytest.skip("in a full Kubeflow, kfdet has no setting in the launcher's ConfigMap")
    return backend


@pytest.fixture
def providers(core: Any) -> Iterator[str]:
    """Kfdet's setting, which is there again after the test."""
    found = core.read_namespaced_config_map(LAUNCHER, NAMESPACE).data["providers"]
    yield found
    set_providers(core, found)


def set_providers(core: Any, text: str | None) -> None:
    """Set the field that kfdet has in the ConfigMap; None removes it."""
    body = {"data": {"providers": text}}
    core.patch_namespaced_config_map(LAUNCHER, NAMESPACE, body, field_manager="kfdet")


@pytest.fixture(scope="module")
def foreign(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Runs the pipeline of somebody else; returns where its artifact is."""
    file = tmp_path_factory.mktemp("pipeline") / "hello.yaml"
    Compiler().compile(hello, str(file))
    pipeline_id = backend.create_pipeline(NAME, "")
    version_id = backend.upload_version(pipeline_id, NAME, file)
    version = {"pipeline_id": pipeline_id, "pipeline_version_id": version_id}

    def run() -> str:
        run_id = backend.start(NAME, backend.experiment(NAME), version, {}, "")
        state = wait_for(lambda: (s := backend.run(run_id).get("state", "")) in ENDED and s, 300)
        assert state == "SUCCEEDED", backend.link(run_id)
        return artifact_uri(backend.workflow(run_id), "read", "note")

    return run


def test_pipelines_of_others_run_as_before(
    core: Any, providers: str, foreign: Callable[[], str]
) -> None:
    set_providers(core, None)
    before = foreign()
    set_providers(core, providers)
    after = foreign()
    assert before.split("/")[:3] == after.split("/")[:3]
    assert not after.startswith("s3://kfdet/")


@pytest.mark.parametrize(
    "how", [(), ("--server-side", "--force-conflicts")], ids=["client", "server"]
)
def test_kubeflow_pipelines_applied_again_leaves_kfdets_setting(
    how: tuple[str, ...], core: Any, providers: str
) -> None:
    apply(*how)
    data = core.read_namespaced_config_map(LAUNCHER, NAMESPACE).data
    assert data == {**data, "providers": providers, "defaultPipelineRoot": ROOT}


def apply(*how: str) -> None:
    """Apply Kubeflow Pipelines' manifest of the ConfigMap as its administrator does."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on PATH")
    subprocess.run(
        ["kubectl", "apply", *how, "-f", "-"], input=json.dumps(MANIFEST), text=True, check=True
    )


def test_kfdet_runs_after_kubeflow_pipelines_was_applied_again(
    backend: Backend, providers: str, tmp_path: Path
) -> None:
    """Up to the plan, which is the first artifact, and the next stage, which reads it."""
    apply()
    dataset = f"minio://kfdet/datasets/{NAME}"
    make_sample(tmp_path / "dataset")
    assert kfdet("upload", str(tmp_path / "dataset"), dataset).returncode == 0
    options = ("--no-follow", "--json", "--seed", str(uuid.uuid4().int % 10**6))
    done = kfdet("submit", dataset, *options)
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["run"]
    try:
        stage = wait_for(lambda: ended_interpolation(backend, run_id), 300)
        assert stage == "succeeded", backend.link(run_id)
        plan = artifact_uri(backend.workflow(run_id), "interpolation", "plan")
        assert plan.startswith("s3://kfdet/runs/")
    finally:
        backend._request("POST", f"/apis/v2beta1/runs/{run_id}:terminate")


def ended_interpolation(backend: Backend, run_id: str) -> str:
    """State of the first interpolation that has ended; "" if none has."""
    tasks = read_workflow(backend.workflow(run_id)).tasks
    states = [task.state for task in tasks if task.stage in ("planning", "interpolation")]
    if "failed" in states:
        return "failed"
    ended = [task for task in tasks if task.stage == "interpolation" and task.state == "succeeded"]
    return "succeeded" if ended else ""
