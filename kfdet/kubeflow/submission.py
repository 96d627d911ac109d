"""Start a run of the training pipeline on Kubeflow Pipelines, and tell what came of it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kfdet import __version__
from kfdet.cluster.names import NAMESPACE
from kfdet.errors import InputError, KfdetError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.following import FinishedRun
from kfdet.kubeflow.workflow import artifact_uri
from kfdet.parameters import Parameters
from kfdet.pipelines.cluster_parameters import ClusterParameters, Compilation

PIPELINE = "kfdet-training"
_DESCRIPTION = "From filmed objects with boxes on key frames to an evaluated, served detector."

_LATER = {
    *("endpoint", "canary_percent", "model_root"),
    *("training_cpu", "training_memory", "node_selector", "tolerations", "accelerator_type"),
}
"""Parameters that change nothing about an evaluation that comes from the cache."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has come to.

    Args:
        metrics: What metrics.json holds; None where it cannot be read from here.
        unread: Why it cannot.
        endpoint: Name of the endpoint that serves the model; "" where none does.
        url: Where it answers, as far as that can be seen from here.
    """

    metrics: dict[str, Any] | None
    unread: str
    endpoint: str
    url: str


def version_name(pipeline: str) -> str:
    """The name of a pipeline's version: the same YAML has the same name."""
    return f"{__version__}-{hashlib.sha256(pipeline.encode()).hexdigest()[:12]}"


def upload_pipeline(backend: Backend, compilation: Compilation) -> tuple[str, str, str]:
    """Upload the training pipeline, unless that very version is there.

    Returns:
        ID of the pipeline, ID of the version, name of the version.
    """
    from kfdet.pipelines.compiler import compile_training

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compile_training(file, compilation)
        name = version_name(file.read_text())
        pipeline_id, version_id = backend.find_version(PIPELINE, name)
        if not pipeline_id:
            pipeline_id = backend.create_pipeline(PIPELINE, _DESCRIPTION)
        if not version_id:
            version_id = backend.upload_version(pipeline_id, name, file)
    return pipeline_id, version_id, name


def submit(
    backend: Backend,
    dataset: str,
    parameters: Parameters,
    cluster: ClusterParameters,
    compilation: Compilation,
    experiment: str,
) -> str:
    """Start a run on the dataset in a bucket; returns the run's ID.

    Raises:
        InputError: Something is wrong with the dataset's address or a parameter.
        KfdetError: Kubeflow Pipelines refuses.
    """
    from kfdet.storage.address import BucketPath, is_bucket_uri
    from kfdet.storage.listing import dataset_version

    if not is_bucket_uri(dataset):
        raise InputError(
            "is not in an object store, where the cluster could read it.",
            file=dataset,
            hint=f"Put it there: kfdet upload {dataset} minio://kfdet/datasets/NAME.",
        )
    if parameters.init_checkpoint and "://" not in parameters.init_checkpoint:
        raise InputError(
            "is a file of this machine.",
            file=parameters.init_checkpoint,
            hint="Give a URL or a bucket path, which the cluster can read.",
        )
    parameters.check()
    cluster.check()
    compilation.check()
    if cluster.endpoint:
        _check_endpoint(backend, cluster)
    bucket = BucketPath.parse(dataset).bucket
    arguments = {
        "dataset": dataset,
        "dataset_version": dataset_version(dataset),
        **parameters.arguments(),
        **cluster.arguments(bucket),
    }
    pipeline_id, version_id, _ = upload_pipeline(backend, compilation)
    name = f"{dataset.rstrip('/').rpartition('/')[2]} {datetime.now():%Y-%m-%d %H:%M:%S}"
    return backend.start(
        name,
        backend.experiment(experiment),
        pipeline_id,
        version_id,
        arguments,
        # With this scheme even for s3:// datasets: the launcher has settings for it (manifests/).
        # The UI of an installation for several users reads its own store only.
        pipeline_root="" if backend.namespace else f"minio://{bucket}/runs",
    )


def _check_endpoint(backend: Backend, cluster: ClusterParameters) -> None:
    """Find now what would stop the deployment at the end of the run.

    Beyond the name only where Kubeflow Pipelines is in the cluster that can be asked from here.
    """
    from kfdet.cluster.api import connect
    from kfdet.deployment.endpoint import check_name
    from kfdet.deployment.rollout import check_deployment

    check_name(cluster.endpoint)
    if backend.same_cluster:
        place = connect(backend.namespace or NAMESPACE)
        check_deployment(place, cluster.endpoint, cluster.canary_percent)


def result(backend: Backend, ended: FinishedRun) -> Result:
    """Metrics and endpoint of a run that has ended well."""
    metrics, unread = None, ""
    try:
        metrics = _read_metrics(_metrics_uri(backend, ended))
    except KfdetError as error:
        unread = str(error)
    deployed = any(
        task.stage == "deployment" and task.state == "succeeded" for task in ended.progress.tasks
    )
    endpoint = _parameters(ended.run).get("endpoint", "") if deployed else ""
    namespace = ended.workflow.get("metadata", {}).get("namespace", "")
    return Result(metrics, unread, endpoint, _url(namespace, endpoint) if endpoint else "")


def _parameters(run: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = (run.get("runtime_config") or {}).get("parameters") or {}
    return given


def _metrics_uri(backend: Backend, ended: FinishedRun) -> str:
    """Where the run's metrics lie: in its workflow, or in that of the run it took them from."""
    for stage in ("deployment", "evaluation"):
        if uri := artifact_uri(ended.workflow, stage, "metrics"):
            return uri

    def identity(run: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = {name: v for name, v in _parameters(run).items() if name not in _LATER}
        return run.get("pipeline_version_reference"), given

    for run in backend.runs(ended.run["experiment_id"]):
        if identity(run) == identity(ended.run) and run["run_id"] != ended.run["run_id"]:
            workflow = backend.workflow(run["run_id"])
            if uri := artifact_uri(workflow, "evaluation", "metrics"):
                return uri
    raise KfdetError("the run that computed them is not to be found any more")


def _read_metrics(uri: str) -> dict[str, Any]:
    from kfdet.storage.download import download

    with tempfile.TemporaryDirectory() as folder:
        file = download(uri, Path(folder))
        metrics: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return metrics


def _url(namespace: str, endpoint: str) -> str:
    from kfdet.cluster.api import connect
    from kfdet.deployment.endpoint import read

    try:
        found = connect(namespace).get(endpoint)
    except KfdetError:
        return ""
    return read(found).url if found else ""
