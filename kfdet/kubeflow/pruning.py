"""Free the store of old runs: which may go, and what only they need.

A run goes with its artifacts, the version that it deployed, its checkpoints and its TensorBoard
logs. It stays if it is one of the newest, or if something else needs it: an endpoint, a run that
took a stage from it by way of the cache, a parameter of a run or of a schedule that names one of
its files, or a run on the same dataset that still goes on and may take a stage from it any time.

Kubeflow Pipelines' cache does not look whether an artifact still exists (kubeflow/pipelines#7939).
A run is therefore deleted there first, which takes its entries out of the cache, and its objects
afterwards. A note in the bucket, written before, lets a later call continue what was interrupted in
between.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kfdet.cluster.api import Cluster
from kfdet.errors import KfdetError
from kfdet.kubeflow.backend import Answer, Backend
from kfdet.kubeflow.earlier import (
    dataset_fingerprint,
    dataset_of,
    deployment_outcome,
    kfdet_pipelines,
    parameters_of,
    pipeline_of,
    read_json,
)
from kfdet.kubeflow.following import ENDED
from kfdet.kubeflow.schedules import schedules
from kfdet.kubeflow.workflow import artifact_uri, artifact_uris, read_workflow
from kfdet.storage.listing import list_names
from kfdet.storage.removal import remove, write_note

_NOTES = "pruned"
"""Folder beside those of the runs, with a note for each run that is being removed."""


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run that may go.

    Args:
        id: Its ID.
        name: Its name in the UI.
        created: When it was started, as RFC 3339.
        places: URIs of folders and objects that only it needs.
        note: URI of the note that it is being removed.
        listed: Whether Kubeflow Pipelines still knows it.
    """

    id: str
    name: str
    created: str
    places: tuple[str, ...]
    note: str
    listed: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    """What is known of a run.

    Args:
        answer: The run as the API describes it.
        folder: URI of the folder with its artifacts; "" where it is not known.
        fingerprint: That of its dataset; "" where it is not known.
        computed: The stages that it has run.
        cached: The stages that it took from earlier runs.
        version: Folder of the version that it deployed; "" where it deployed none.
        trainings: Folders of its checkpoints and logs.
    """

    answer: Answer
    folder: str
    fingerprint: str
    computed: frozenset[str]
    cached: frozenset[str]
    version: str
    trainings: frozenset[str]

    @property
    def id(self) -> str:
        return str(self.answer["run_id"])

    @property
    def root(self) -> str:
        return self.folder.rpartition("/")[0]

    @property
    def dataset(self) -> str:
        return dataset_of(self.answer)

    @property
    def goes_on(self) -> bool:
        return self.answer.get("state") not in ENDED


def find_old_runs(
    backend: Backend, connect: Callable[[str], Cluster], namespace: str, keep: int
) -> list[OldRun]:
    """The runs that may go, the newest first.

    Args:
        backend: The API server.
        connect: Gives the cluster with the endpoints, for a namespace.
        namespace: That of the runs; runs that deploy into another one are asked for it.
        keep: How many successful runs of each dataset stay; those that are newer than the last of
            these stay as well, whatever came of them.

    Raises:
        InputError: The endpoints or the bucket cannot be read.
    """
    pipelines = kfdet_pipelines(backend)
    runs = [
        _read(answer, backend.workflow(answer["run_id"]))
        for answer in backend.runs()
        if pipeline_of(answer) in pipelines
    ]
    places = {str(parameters_of(run.answer).get("serving_namespace") or "") for run in runs}
    served = json.dumps([connect(each or namespace).services() for each in sorted({"", *places})])
    planned = json.dumps([dict(each.arguments) for each in schedules(backend)])
    kept = _kept(runs, served, planned, keep)
    used = _Used(
        served + planned + json.dumps([parameters_of(run.answer) for run in kept]),
        frozenset(place for run in kept for place in (run.version, *run.trainings)),
        trainings_go_on=any(run.goes_on for run in runs),
    )
    old = [
        OldRun(
            run.id,
            str(run.answer.get("display_name", "")),
            str(run.answer.get("created_at", "")),
            tuple(used.places_of(run)),
            f"{run.root}/{_NOTES}/{run.id}.json",
        )
        for run in runs
        if run not in kept
    ]
    return old if used.trainings_go_on else [*old, *_interrupted(runs, used)]


@dataclass(frozen=True, slots=True)
class _Used:
    """What must not go.

    Args:
        texts: Endpoints, schedules and parameters of the runs that stay, as JSON.
        places: Versions and trainings of the runs that stay.
        trainings_go_on: Whether a run goes on, which may continue any training.
    """

    texts: str
    places: frozenset[str]
    trainings_go_on: bool

    def needs(self, place: str) -> bool:
        """Whether a place must stay; a bundle as long as its version."""
        if place in self.places or _named(place, self.texts):
            return True
        root, bundled, name = place.partition("/bundles/")
        return bool(bundled) and self.needs(f"{root}/{name.removesuffix('.zip')}")

    def places_of(self, run: _Run) -> Iterator[str]:
        """What only this run needs."""
        yield run.folder
        if run.version:
            root, _, version = run.version.rpartition("/")
            both = (run.version, f"{root}/bundles/{version}.zip")
            yield from (place for place in both if not self.needs(place))
        if not self.trainings_go_on:
            yield from sorted(place for place in run.trainings if not self.needs(place))


def _kept(runs: Sequence[_Run], served: str, planned: str, keep: int) -> list[_Run]:
    """The runs that stay, for the reasons that the module's docstring gives."""
    busy = {run.dataset for run in runs if run.goes_on}
    texts = served + planned
    kept: list[_Run] = []
    successes: Counter[str] = Counter()
    for run in runs:
        newest = successes[run.dataset] < keep
        successes[run.dataset] += run.answer.get("state") == "SUCCEEDED"
        needed = run.dataset in busy or not run.folder
        if newest or needed or _named(run.folder, texts) or _named(run.version, served):
            kept.append(run)
    for run in kept:  # grows meanwhile
        named = json.dumps(parameters_of(run.answer))
        kept += [
            other
            for other in runs
            if other not in kept and (_gave(other, run) or _named(other.folder, named))
        ]
    return kept


def _gave(other: _Run, run: _Run) -> bool:
    """Whether `run` may have taken a stage from `other` by way of the cache."""
    known = bool(run.fingerprint and other.fingerprint)
    return (
        other.dataset == run.dataset
        and not (known and other.fingerprint != run.fingerprint)
        and str(other.answer.get("created_at")) <= str(run.answer.get("created_at"))
        and bool(run.cached & other.computed)
    )


def _named(uri: str, texts: str) -> bool:
    """Whether a text names something at or below a URI, with whichever scheme."""
    place = uri.partition("://")[2]
    escaped = json.dumps(place)[1:-1]
    # twice in an annotation, which is JSON itself
    forms = {escaped, json.dumps(escaped)[1:-1]}
    ends = ("/", '"', '\\"', ",")
    return bool(place) and any(f"{form}{end}" in texts for form in forms for end in ends)


def _read(answer: Answer, workflow: Answer) -> _Run:
    tasks = read_workflow(workflow).tasks
    run_id = str(answer["run_id"])
    traces = (("fingerprint", "state"), ("scoring_plan", "plan"))  # of stages that are never cached
    trace = next(filter(None, (artifact_uri(workflow, *each) for each in traces)), "")
    before, found, _ = trace.partition(f"/{run_id}/")
    return _Run(
        answer,
        f"{before}/{run_id}" if found else "",
        dataset_fingerprint(workflow),
        frozenset(task.stage for task in tasks if task.state == "succeeded"),
        frozenset(task.stage for task in tasks if task.state == "cached"),
        _version(parameters_of(answer), deployment_outcome(workflow)),
        frozenset(_trainings(parameters_of(answer), workflow)),
    )


def _version(parameters: Mapping[str, Any], outcome: Mapping[str, Any]) -> str:
    root, endpoint = parameters.get("model_root"), parameters.get("endpoint")
    if not (outcome.get("promoted") and outcome.get("version") and root and endpoint):
        return ""
    return f"{str(root).rstrip('/')}/{endpoint}/{outcome['version']}"


def _trainings(parameters: Mapping[str, Any], workflow: Answer) -> Iterator[str]:
    """Folders of checkpoints and of logs of the trainings that this run has done."""
    for uri in artifact_uris(workflow, "training", "mlpipeline_ui_metadata"):
        with suppress(KfdetError):
            for output in read_json(uri).get("outputs", []):
                name = str(output["source"]).rstrip("/").rpartition("/")[2]
                for root in ("checkpoint_root", "tensorboard_root"):
                    if name and parameters.get(root):
                        yield f"{str(parameters[root]).rstrip('/')}/{name}"


def prune(backend: Backend, run: OldRun) -> None:
    """Delete a run and what only it needs.

    Raises:
        KfdetError: The API server or the store refuses; another call continues.
    """
    if run.listed:
        # First: an answer to what follows may be lost, and then nothing else names the places.
        write_note(run.note, {"name": run.name, "created": run.created, "places": run.places})
        backend.delete_run(run.id)
    for place in run.places:
        remove(place)
    remove(run.note)


def _interrupted(runs: Sequence[_Run], used: _Used) -> Iterator[OldRun]:
    """Runs that were being removed when an earlier call was interrupted."""
    listed = {run.id for run in runs}
    for root in sorted({run.root for run in runs if run.folder}):
        for name in list_names(f"{root}/{_NOTES}"):
            run_id = name.removesuffix(".json")
            if run_id in listed:
                continue
            note = f"{root}/{_NOTES}/{name}"
            found = read_json(note)
            places = tuple(place for place in found["places"] if not used.needs(place))
            yield OldRun(run_id, found["name"], found["created"], places, note, listed=False)
