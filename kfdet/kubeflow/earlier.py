"""What earlier runs computed: where a run's results are, and whether it would find anything new.

A stage that comes from Kubeflow Pipelines' cache leaves nothing in its own run, and version 2 of
the API does not name the artifacts that it has reused. Runs are therefore compared by their
pipeline, their parameters and the fingerprint of the dataset that each has found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfdet.errors import KfdetError
from kfdet.events import path_alias
from kfdet.kubeflow.backend import Answer, Backend
from kfdet.kubeflow.workflow import artifact_uri, parameter_value

_LATER = {
    *("endpoint", "serving_namespace", "canary_percent", "model_root"),
    *("training_cpu", "training_cpu_limit", "training_memory"),
    *("node_selector", "tolerations", "accelerator_type"),
}
"""Parameters that do not change the evaluation."""


def read_json(uri: str) -> dict[str, Any]:
    """A JSON object in a bucket.

    Raises:
        KfdetError: It cannot be read from here.
    """
    from kfdet.files import read_json_object
    from kfdet.storage.download import download

    with tempfile.TemporaryDirectory() as folder:
        return read_json_object(download(uri, Path(folder)))


def read_metrics(uri: str) -> dict[str, Any]:
    """The metrics.json of a run, in a bucket.

    Raises:
        KfdetError: It cannot be read from here, or is damaged.
    """
    from kfdet.evaluation.metrics_file import read_metrics as read_file
    from kfdet.storage.download import download

    with tempfile.TemporaryDirectory() as folder, path_alias(Path(folder), uri):
        return read_file(download(uri, Path(folder)))


def kfdet_pipelines(backend: Backend) -> set[str]:
    """The IDs of kfdet's pipelines, where they have been uploaded."""
    from kfdet.pipelines.compiler import PIPELINES

    return {backend.find_version(each.NAME, "")[0] for each in PIPELINES.values()} - {""}


def pipeline_of(run: Mapping[str, Any]) -> str:
    """The ID of the pipeline of a run or of a recurring run; "" where it has none."""
    return str((run.get("pipeline_version_reference") or {}).get("pipeline_id", ""))


def parameters_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a run was started with."""
    given: dict[str, Any] = (run.get("runtime_config") or {}).get("parameters") or {}
    return given


def dataset_of(run: Mapping[str, Any]) -> str:
    """The dataset of a run, or the folder that it scores."""
    given = parameters_of(run)
    return str(given.get("dataset") or given.get("source", ""))


def dataset_fingerprint(workflow: Mapping[str, Any]) -> str:
    """The fingerprint of the dataset that a run has found; "" where it cannot be read."""
    if given := parameter_value(workflow, "planning", "fingerprint"):
        return str(given)
    return str(_trace(workflow, "fingerprint", "state").get("fingerprint", ""))


def deployment_outcome(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """What the deployment stage of a run has left (see `kfdet.stages.deployment`), or {}."""
    return _trace(workflow, "deployment", "outcome")


def _trace(workflow: Mapping[str, Any], stage: str, name: str) -> dict[str, Any]:
    """What a stage that is never cached has written; {} where it cannot be read."""
    uri = artifact_uri(workflow, stage, name)
    try:
        return read_json(uri) if uri else {}
    except KfdetError:
        return {}


def output_uri(backend: Backend, run: Answer, workflow: Answer, stage: str, name: str) -> str:
    """URI of what a stage wrote, from the run's workflow or that of the run that computed it.

    Raises:
        KfdetError: That run no longer exists.
    """
    for reader in ("deployment", stage):
        if uri := artifact_uri(workflow, reader, name):
            return uri
    own = dataset_fingerprint(workflow)
    for other in backend.runs(run["experiment_id"]) if own else ():
        if str(other.get("created_at")) > str(run.get("created_at")):
            continue  # one that was repeated, as its model is compared with another one by now
        if other["run_id"] != run["run_id"] and _evaluates(other) == _evaluates(run):
            earlier = backend.workflow(other["run_id"])
            uri = artifact_uri(earlier, stage, name)
            if uri and dataset_fingerprint(earlier) == own:
                return uri
    raise KfdetError(f"the run that computed the {name} no longer exists")


def _evaluates(run: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What decides about the results of a run, but for the dataset."""
    given = {name: v for name, v in parameters_of(run).items() if name not in _LATER}
    return run.get("pipeline_version_reference"), given


def equal_runs(
    backend: Backend, experiment: str, version: Mapping[str, str], arguments: Mapping[str, Any]
) -> Iterator[tuple[Answer, Answer]]:
    """Succeeded runs of a pipeline's version with exactly these parameters, the newest first.

    Args:
        backend: The API server.
        experiment: ID of the experiment that lists the runs.
        version: IDs of the pipeline and of its version, as the API writes them.
        arguments: The parameters.

    Yields:
        Each run and its workflow.
    """
    for run in backend.runs(experiment):
        same = run.get("pipeline_version_reference") == version and parameters_of(run) == arguments
        if same and run.get("state") == "SUCCEEDED":
            yield run, backend.workflow(run["run_id"])
