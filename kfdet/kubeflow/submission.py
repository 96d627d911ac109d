"""Start a training on Kubeflow Pipelines, and read the result of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kfdet.cluster.names import NAMESPACE
from kfdet.cluster.parameters import ClusterParameters
from kfdet.cluster.releases import KSERVE
from kfdet.errors import InputError, KfdetError
from kfdet.events import warn
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.earlier import (
    dataset_fingerprint,
    deployment_outcome,
    equal_runs,
    output_uri,
    parameters_of,
    read_json,
    read_metrics,
)
from kfdet.kubeflow.following import FinishedRun
from kfdet.kubeflow.orders import Order, check_store, place_order
from kfdet.kubeflow.workflow import read_workflow
from kfdet.parameters import Parameters, SweepSettings, is_local_start
from kfdet.pipelines.compilation import Compilation
from kfdet.training.grid import trainings


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    Args:
        metrics: Content of metrics.json; None where the run is a scoring, or it cannot be read.
        unread: Why it cannot be read.
        sweep: Content of sweep.json; None where the run is not a sweep, or it cannot be read.
        scoring: Content of summary.json; None where the run is not a scoring, or it cannot be read.
        endpoint: Name of the endpoint that serves the model; "" if none does.
        url: Address of the endpoint; "" if it cannot be found out from here.
    """

    metrics: dict[str, Any] | None
    unread: str
    sweep: dict[str, Any] | None
    scoring: dict[str, Any] | None
    endpoint: str
    url: str


def prepare(
    backend: Backend,
    dataset: str,
    parameters: Parameters,
    cluster: ClusterParameters,
    compilation: Compilation,
    experiment: str,
    sweep: SweepSettings | None = None,
) -> Order:
    """Check a run on the dataset in a bucket, or on several, and upload its pipeline.

    With several settings, it is a sweep.

    Args:
        backend: The API server.
        dataset: Address of the dataset, or several (see `kfdet.dataset.several`).
        parameters: What is trained, and how.
        cluster: What only a cluster has.
        compilation: What is compiled in.
        experiment: Name of the experiment that lists it.
        sweep: Which settings are compared.

    Raises:
        InputError: The dataset's address or a parameter is bad.
        KfdetError: Kubeflow Pipelines refuses the pipeline.
    """
    from kfdet.dataset.several import split_datasets
    from kfdet.deployment.starting import with_located_start
    from kfdet.storage.address import BucketPath, is_bucket_uri
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
    check_store(backend, datasets[0])
    found = fingerprint(dataset)
    where = cluster.serving_namespace or backend.namespace
    parameters = with_located_start(parameters, where)
    for each in trainings(parameters, sweep):
        check_start(each, here=False)
    bucket = BucketPath.parse(datasets[0]).bucket
    arguments = {
        "dataset": dataset,
        **parameters.arguments(),
        **(asdict(sweep) if sweep else {}),
        **cluster.arguments(bucket),
    }
    return place_order(
        backend,
        "sweep" if sweep else "training",
        compilation,
        arguments,
        name=dataset_name(dataset),
        experiment=experiment,
        bucket=bucket,
        fingerprint=found,
    )


def dataset_name(dataset: str) -> str:
    """What to call runs on a dataset, or on several: the last parts of their addresses."""
    from kfdet.dataset.several import split_datasets

    return " ".join(place.rstrip("/").rpartition("/")[2] for place in split_datasets(dataset))


def start(backend: Backend, order: Order) -> str:
    """Start a run; returns its ID.

    Raises:
        KfdetError: Kubeflow Pipelines refuses the run.
    """
    name = f"{order.name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    return backend.start(
        name, order.experiment_id, order.version, order.arguments, order.pipeline_root
    )


def find_unchanged(backend: Backend, order: Order) -> str:
    """The ID of a run that did all that the order would do; "" where there is something to do.

    It has succeeded with the same pipeline, parameters and content of the dataset, and what it
    deployed is what its endpoint still serves.
    """
    for run, workflow in equal_runs(backend, order.experiment_id, order.version, order.arguments):
        same = dataset_fingerprint(workflow) == order.fingerprint
        if same and _still_served(workflow, order.arguments):
            return str(run["run_id"])
    return ""


def _still_served(workflow: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a run would deploy nothing again, or the endpoint is as it was when it had ended."""
    from kfdet.cluster.connection import connect
    from kfdet.deployment.inference_service import read

    if not any(task.stage == "deployment" for task in read_workflow(workflow).tasks):
        # What the endpoint serves may be another version now, to which this one is compared.
        return not arguments.get("endpoint") or arguments.get("promote", "always") == "always"
    outcome = deployment_outcome(workflow)
    try:
        namespace = arguments["serving_namespace"] or workflow["metadata"]["namespace"]
        manifest = connect(namespace).get(arguments["endpoint"])
        found = read(manifest) if manifest else None
    except KfdetError:  # perhaps there is no access from here: the run will see
        return False
    return (
        found is not None
        and found.ready
        and (found.created, found.serving.newest.version)
        == (outcome.get("created"), outcome.get("version"))
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
        target = connect(cluster.serving_namespace or backend.namespace or NAMESPACE)
        check_deployment(target, cluster.endpoint, cluster.canary_percent)
        version = target.kserve_version()
        if version and (doubt := KSERVE.doubt(version)):
            warn(doubt)


def result(backend: Backend, finished: FinishedRun) -> Result:
    """Metrics and endpoint of a run that has succeeded, or the numbers of a scoring."""
    metrics, sweep, scoring, unread = None, None, None, ""
    stages = {task.stage for task in finished.progress.tasks}
    try:
        if "scoring_summary" in stages:
            scoring = read_json(_output(backend, finished, "scoring_summary", "summary"))
        else:
            metrics = read_metrics(_output(backend, finished, "evaluation", "metrics"))
        if "selection" in stages:
            sweep = read_json(_output(backend, finished, "selection", "sweep"))
    except KfdetError as error:
        unread = str(error)
    deployed = any(
        task.stage == "deployment" and task.state == "succeeded" for task in finished.progress.tasks
    )
    given = parameters_of(finished.run)
    endpoint = given.get("endpoint", "") if deployed else ""
    own = finished.workflow.get("metadata", {}).get("namespace", "")
    namespace = given.get("serving_namespace") or own
    url = _url(namespace, endpoint) if endpoint else ""
    return Result(metrics, unread, sweep, scoring, endpoint, url)


def _output(backend: Backend, finished: FinishedRun, stage: str, name: str) -> str:
    return output_uri(backend, finished.run, finished.workflow, stage, name)


def _url(namespace: str, endpoint: str) -> str:
    from kfdet.cluster.connection import connect
    from kfdet.deployment.inference_service import read

    try:
        found = connect(namespace).get(endpoint)
    except KfdetError:
        return ""
    return read(found).url if found else ""
