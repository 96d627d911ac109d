"""Start a run of a pipeline on Kubeflow Pipelines, and read its result."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kfdet import __version__
from kfdet.cluster.names import NAMESPACE
from kfdet.cluster.parameters import ClusterParameters, pipeline_root
from kfdet.errors import InputError, KfdetError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.following import FinishedRun, log_events
from kfdet.kubeflow.logs import Logs
from kfdet.kubeflow.workflow import artifact_uri, parameter_value, read_workflow
from kfdet.parameters import Parameters, SweepSettings, is_local_start
from kfdet.pipelines.compilation import Compilation, PipelineName
from kfdet.training.grid import trainings

_LATER = {
    *("endpoint", "canary_percent", "model_root"),
    *("training_cpu", "training_memory", "node_selector", "tolerations", "accelerator_type"),
}
"""Parameters that do not change the evaluation."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    Args:
        metrics: Content of metrics.json; None if it cannot be read from here.
        unread: Why it cannot be read.
        sweep: Content of sweep.json; None where the run is not a sweep, or it cannot be read.
        endpoint: Name of the endpoint that serves the model; "" if none does.
        url: Address of the endpoint; "" if it cannot be found out from here.
    """

    metrics: dict[str, Any] | None
    unread: str
    sweep: dict[str, Any] | None
    endpoint: str
    url: str


def version_name(pipeline: str) -> str:
    """Name of a pipeline's version: the same YAML has the same name."""
    return f"{__version__}-{hashlib.sha256(pipeline.encode()).hexdigest()[:12]}"


def upload_pipeline(
    backend: Backend, compilation: Compilation, pipeline: PipelineName = "training"
) -> tuple[str, str, str]:
    """Upload a pipeline, unless this version is there already.

    Returns:
        ID of the pipeline, ID of the version, name of the version.
    """
    from kfdet.pipelines import sweep, training
    from kfdet.pipelines.compiler import compile_pipeline

    module = sweep if pipeline == "sweep" else training
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compile_pipeline(file, compilation, pipeline=pipeline)
        name = version_name(file.read_text())
        pipeline_id, version_id = backend.find_version(module.NAME, name)
        if not pipeline_id:
            pipeline_id = backend.create_pipeline(module.NAME, module.DESCRIPTION)
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
    sweep: SweepSettings | None = None,
) -> str:
    """Start a run on the dataset in a bucket, or on several (see `kfdet.dataset.several`).

    Of several settings, it is a sweep. Returns the run's ID.

    Raises:
        InputError: The dataset's address or a parameter is bad.
        KfdetError: Kubeflow Pipelines refuses the run.
    """
    from kfdet.dataset.several import split_datasets
    from kfdet.deployment.starting import with_located_start
    from kfdet.storage.address import GOOGLE_HOST, BucketPath, is_bucket_uri
    from kfdet.storage.environment import read_connection
    from kfdet.storage.fingerprint import fingerprint
    from kfdet.training.starting_point import check_start

    datasets = split_datasets(dataset)
    for place in datasets:
        if not is_bucket_uri(place):
            raise InputError(
                "is not in an object store, so the cluster cannot read it.",
                file=place,
                hint=f"Upload it: kfdet upload {place} minio://kfdet/datasets/NAME.",
            )
    for each in trainings(parameters, sweep):
        if is_local_start(each.pretrained):
            raise InputError(
                "is on this machine, where the cluster cannot read it.",
                file=each.pretrained,
                hint="Give a URL or a bucket path, such as that of a model.zip.",
            )
    if parameters.against and "://" not in parameters.against:
        raise InputError(
            "is on this machine, where the cluster cannot read it.",
            file=parameters.against,
            hint="Give the bucket path of a model.zip or of a model's folder.",
        )
    if parameters.promote != "always" and not (parameters.against or cluster.endpoint):
        raise InputError(
            f"--promote {parameters.promote} has nothing to compare with.",
            hint="Name an --endpoint, or a model with --against.",
        )
    parameters.check()
    cluster.check()
    compilation.check()
    if cluster.endpoint:
        _check_endpoint(backend, cluster)
    if read_connection(dataset).host.endswith(GOOGLE_HOST):
        raise InputError(
            "Kubeflow Pipelines cannot store the artifacts of a run in Google Cloud Storage by way "
            "of S3: Google changes a header that its client signs.",
            file=dataset,
            hint="Use another S3 store; manifests/overlays/standalone brings one.",
        )
    fingerprint(dataset)  # refuses an address without a dataset
    parameters = with_located_start(parameters, backend.namespace)
    for each in trainings(parameters, sweep):
        check_start(each, here=False)
    bucket = BucketPath.parse(datasets[0]).bucket
    arguments = {
        "dataset": dataset,
        **parameters.arguments(),
        **(asdict(sweep) if sweep else {}),
        **cluster.arguments(bucket),
    }
    pipeline: PipelineName = "sweep" if sweep else "training"
    pipeline_id, version_id, _ = upload_pipeline(backend, compilation, pipeline)
    names = " ".join(place.rstrip("/").rpartition("/")[2] for place in datasets)
    name = f"{names} {datetime.now():%Y-%m-%d %H:%M:%S}"
    return backend.start(
        name,
        backend.experiment(experiment),
        pipeline_id,
        version_id,
        arguments,
        # The UI of an installation for several users reads its own store only.
        pipeline_root="" if backend.namespace else pipeline_root(bucket),
    )


def _check_endpoint(backend: Backend, cluster: ClusterParameters) -> None:
    """Find what would stop the deployment at the end of the run.

    More than the name is checked only if Kubeflow Pipelines runs in the kubeconfig's cluster.
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.endpoint import check_name
    from kfdet.deployment.rollout import check_deployment

    check_name(cluster.endpoint)
    if backend.same_cluster:
        target = connect(backend.namespace or NAMESPACE)
        check_deployment(target, cluster.endpoint, cluster.canary_percent)


def result(backend: Backend, finished: FinishedRun) -> Result:
    """Metrics and endpoint of a run that has succeeded."""
    metrics, sweep, unread = None, None, ""
    stages = {task.stage for task in finished.progress.tasks}
    try:
        metrics = _read_json(_output_uri(backend, finished, "evaluation", "metrics"))
        if "selection" in stages:
            sweep = _read_json(_output_uri(backend, finished, "selection", "sweep"))
    except KfdetError as error:
        unread = str(error)
    deployed = any(
        task.stage == "deployment" and task.state == "succeeded" for task in finished.progress.tasks
    )
    endpoint = _parameters(finished.run).get("endpoint", "") if deployed else ""
    namespace = finished.workflow.get("metadata", {}).get("namespace", "")
    url = _url(namespace, endpoint) if endpoint else ""
    return Result(metrics, unread, sweep, endpoint, url)


def _parameters(run: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = (run.get("runtime_config") or {}).get("parameters") or {}
    return given


def _output_uri(backend: Backend, finished: FinishedRun, stage: str, name: str) -> str:
    """URI of what a stage wrote, from the run's workflow or that of the run that computed it."""
    for reader in ("deployment", stage):
        if uri := artifact_uri(finished.workflow, reader, name):
            return uri

    def identity(run: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = {name: v for name, v in _parameters(run).items() if name not in _LATER}
        return run.get("pipeline_version_reference"), given

    logs = Logs(backend)
    own = _fingerprint(logs, finished.run["run_id"], finished.workflow)
    for run in backend.runs(finished.run["experiment_id"]) if own else ():
        if identity(run) == identity(finished.run) and run["run_id"] != finished.run["run_id"]:
            workflow = backend.workflow(run["run_id"])
            uri = artifact_uri(workflow, stage, name)
            if uri and _fingerprint(logs, run["run_id"], workflow) == own:
                return uri
    raise KfdetError(f"the run that computed the {name} no longer exists")


def _fingerprint(logs: Logs, run_id: str, workflow: Mapping[str, Any]) -> str:
    """The dataset's fingerprint in a run; "" where it cannot be found out any more.

    Planning is given it, unless it comes from the cache; the pod that found it has reported it.
    """
    if given := parameter_value(workflow, "planning", "fingerprint"):
        return str(given)
    pods = [task.pod for task in read_workflow(workflow).tasks if task.stage == "fingerprint"]
    log = logs.read(dict(workflow), run_id, pods[0]) if pods else ""
    found = [event["value"] for event in log_events(log) if event["event"] == "fingerprint"]
    return str(found[-1]) if found else ""


def _read_json(uri: str) -> dict[str, Any]:
    from kfdet.storage.download import download

    with tempfile.TemporaryDirectory() as folder:
        file = download(uri, Path(folder))
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _url(namespace: str, endpoint: str) -> str:
    from kfdet.cluster.connection import connect
    from kfdet.deployment.endpoint import read

    try:
        found = connect(namespace).get(endpoint)
    except KfdetError:
        return ""
    return read(found).url if found else ""
