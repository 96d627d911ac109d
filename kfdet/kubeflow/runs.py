"""The runs on a cluster: what each came to, and its results on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kfdet.errors import InputError, KfdetError
from kfdet.kubeflow.backend import Answer, Backend
from kfdet.kubeflow.earlier import (
    dataset_of,
    deployment_outcome,
    kfdet_pipelines,
    output_uri,
    parameters_of,
    pipeline_of,
    read_metrics,
)
from kfdet.kubeflow.workflow import read_workflow

RESULTS = {
    "model": "saved_model",
    "": "tflite",
    "model.zip": "bundle",
    "metrics.json": "metrics",
    "report.html": "report",
}
"""What is downloaded, as `kfdet run` calls it, and the output of the evaluation that holds it.

The TFLite models are in a folder, whose files have those names already.
"""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line about a run.

    Args:
        id: Its ID.
        name: Its name.
        state: Its state as Kubeflow Pipelines calls it, in small letters.
        created: When it was started, as RFC 3339.
        minutes: How long it took; None while it goes on.
        dataset: Its dataset, or the folder that it scores.
        ap50: AP50 of its model; None where it is not known.
        verdict: Whether the model is good enough; None where that is not known.
        endpoint: The endpoint that serves its model; "" where none does.
    """

    id: str
    name: str
    state: str
    created: str
    minutes: float | None
    dataset: str
    ap50: float | None
    verdict: bool | None
    endpoint: str


def summarize_runs(backend: Backend, last: int) -> list[RunSummary]:
    """The newest runs of kfdet's pipelines, the newest first.

    Args:
        backend: The API server.
        last: How many.
    """
    pipelines = kfdet_pipelines(backend)
    own = (run for run in backend.runs() if pipeline_of(run) in pipelines)
    return [_summarize(backend, run) for run in itertools.islice(own, last)]


def _summarize(backend: Backend, run: Answer) -> RunSummary:
    workflow = backend.workflow(run["run_id"])
    metrics: Mapping[str, Any] = {}
    if any(task.stage == "evaluation" for task in read_workflow(workflow).tasks):
        try:
            metrics = read_metrics(output_uri(backend, run, workflow, "evaluation", "metrics"))
        except KfdetError:  # still running, removed, or not ours to read
            metrics = {}
    parameters, ended = parameters_of(run), run.get("finished_at")
    created = str(run.get("created_at", ""))
    seconds = None
    if ended and run.get("state") in ("SUCCEEDED", "FAILED", "CANCELED"):
        start = datetime.fromisoformat(created)
        seconds = (datetime.fromisoformat(str(ended)) - start).total_seconds()
    return RunSummary(
        str(run["run_id"]),
        str(run.get("display_name", "")),
        str(run.get("state", "pending")).lower(),
        created,
        round(seconds / 60, 1) if seconds is not None else None,
        dataset_of(run),
        metrics.get("AP50"),
        metrics.get("verdict"),
        _serving(workflow, parameters),
    )


def _serving(workflow: Answer, parameters: Mapping[str, Any]) -> str:
    """The endpoint, if it serves what this run deployed."""
    from kfdet.cluster.connection import connect
    from kfdet.deployment.inference_service import read

    outcome, endpoint = deployment_outcome(workflow), str(parameters.get("endpoint", ""))
    if not (endpoint and outcome.get("promoted")):
        return ""
    try:
        namespace = parameters.get("serving_namespace") or workflow["metadata"]["namespace"]
        manifest = connect(namespace).get(endpoint)
        serving = read(manifest).serving if manifest else None
    except KfdetError:
        return ""
    served = {serving.stable.version, serving.newest.version} if serving else set()
    return endpoint if outcome.get("version") in served else ""


def download_results(backend: Backend, run_id: str, folder: Path) -> None:
    """Copy model, metrics and report of a run into a folder, under the names of a local run.

    Each file is whole or not there; what is there with the same content is not copied again, where
    the listing tells. The report comes last.

    Args:
        backend: The API server.
        run_id: The run.
        folder: Folder to fill.

    Raises:
        InputError: There is no such run, it has no results, or the bucket cannot be read.
    """
    from kfdet.storage.download import download_as

    run = backend.run(run_id)
    if run.get("state") != "SUCCEEDED":
        state = str(run.get("state", "pending")).lower()
        raise InputError(
            f"run {run_id} has no results: it is {state}.",
            hint=f"kfdet submit --follow {run_id} shows its progress.",
        )
    places = list(_places(backend, run))
    for name, uri in places:
        download_as(uri, folder.resolve() / name)


def _places(backend: Backend, run: Answer) -> Iterator[tuple[str, str]]:
    workflow = backend.workflow(run["run_id"])
    for name, output in RESULTS.items():
        yield name, output_uri(backend, run, workflow, "evaluation", output)
