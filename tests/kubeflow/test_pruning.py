"""Which runs may go: runs as the API describes them, and traces as the stages leave them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.workflow_samples import cached, driver, patch, ran, workflow

from kfdet.errors import InputError, KfdetError
from kfdet.kubeflow import pruning
from kfdet.kubeflow.pruning import find_old_runs, prune

FILES: dict[str, Any] = {}
"""The JSON objects in the bucket."""


def read(uri: str) -> dict[str, Any]:
    if uri not in FILES:
        raise InputError("there is nothing.")
    found: dict[str, Any] = FILES[uri]
    return found


def write_note(uri: str, content: Any) -> None:
    FILES[uri] = json.loads(json.dumps(content))


@pytest.fixture(autouse=True)
def _bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    FILES.clear()
    monkeypatch.setattr("kfdet.kubeflow.earlier.read_json", read)
    monkeypatch.setattr(pruning, "read_json", read)
    monkeypatch.setattr(
        pruning,
        "list_names",
        lambda uri: [name.removeprefix(f"{uri}/") for name in FILES if name.startswith(f"{uri}/")],
    )


class Cluster:
    def __init__(self, *manifests: Any) -> None:
        self.manifests = list(manifests)

    def services(self) -> list[Any]:
        return self.manifests


class Backend:
    def __init__(self, *runs: tuple[dict[str, Any], dict[str, Any]], planned: Any = ()) -> None:
        """Take the runs as they are started: the oldest first."""
        self.found = {run["run_id"]: (run, manifest) for run, manifest in reversed(runs)}
        self.planned = planned

    def find_version(self, name: str, _: str) -> tuple[str, str]:
        return ("p" if name == "kfdet-training" else ""), ""

    def recurring_runs(self) -> list[dict[str, Any]]:
        return [
            {
                "recurring_run_id": "s",
                "display_name": "s",
                "pipeline_version_reference": {"pipeline_id": "p"},
                "runtime_config": {"parameters": each},
            }
            for each in self.planned
        ]

    def runs(self) -> list[dict[str, Any]]:
        return [run for run, _ in self.found.values()]

    def workflow(self, run_id: str) -> dict[str, Any]:
        return self.found[run_id][1]

    def delete_run(self, run_id: str) -> None:
        del self.found[run_id]


def a_run(
    number: int,
    *,
    state: str = "SUCCEEDED",
    dataset: str = "minio://b/toys",
    fingerprint: str = "",
    takes: bool = False,
    deploys: str = "",
    **parameters: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run; where it `takes` its stages, all of them are from the cache."""
    name = f"r{number}"
    root = f"minio://b/runs/kfdet-training/{name}"
    FILES[f"{root}/fingerprint/1/state"] = {"fingerprint": fingerprint or f"f{number}"}
    stages = [
        driver(
            "root.fingerprint",
            pod_spec_patch=patch(outputs={"state": f"{root}/fingerprint/1/state"}),
        )
    ]
    if takes:
        stages += [*cached("root.planning"), *cached("root.training")]
    else:
        logs = f"{root}/training/1/ui"
        FILES[logs] = {"outputs": [{"source": f"s3://b/tensorboard/t{number}"}]}
        stages += ran("root.planning")
        stages += [
            {**each, "outputs": driver("", pod_spec_patch=patch(outputs={UI: logs}))["outputs"]}
            if each["displayName"] == "training-driver"
            else each
            for each in ran("root.training")
        ]
    if deploys:
        outcome = f"{root}/deployment/1/outcome"
        FILES[outcome] = {"version": deploys, "promoted": True, "created": ""}
        patched = patch(outputs={"outcome": outcome})
        stages.append(driver("root.condition-2.deployment", pod_spec_patch=patched))
    given = {
        "dataset": dataset,
        "endpoint": "toys" if deploys else "",
        "model_root": "minio://b/models",
        "checkpoint_root": "minio://b/checkpoints",
        "tensorboard_root": "minio://b/tensorboard",
        **parameters,
    }
    run = {
        "run_id": name,
        "display_name": name,
        "state": state,
        "created_at": f"2026-11-{number:02}T09:00:00Z",
        "pipeline_version_reference": {"pipeline_id": "p", "pipeline_version_id": "v"},
        "runtime_config": {"parameters": given},
    }
    return run, workflow(*stages)


UI = "mlpipeline_ui_metadata"


def serving(uri: str, previous: str = "") -> dict[str, Any]:
    note = {"kfdet.io/previous": json.dumps({"version": "1", "storageUri": previous})}
    return {"metadata": {"annotations": note}, "spec": {"model": {"storageUri": uri}}}


def old(*runs: Any, keep: int = 1, served: Any = (), planned: Any = ()) -> list[str]:
    backend: Any = Backend(*runs, planned=planned)
    cluster: Any = Cluster(*served)
    return [each.id for each in find_old_runs(backend, lambda _: cluster, "kubeflow", keep)]


def a_scoring(number: int, source: str = "minio://b/films") -> Any:
    run, _ = a_run(number)
    run["runtime_config"]["parameters"] = {"source": source, "target": "minio://b/found"}
    plan = f"minio://b/runs/kfdet-scoring/r{number}/scoring-plan/1/plan"
    return run, workflow(
        driver("root.scoring-plan", pod_spec_patch=patch(outputs={"plan": plan})),
        *ran("root.scoring-summary"),
    )


def test_scorings_of_each_folder_are_kept_by_themselves() -> None:
    assert old(a_scoring(1), a_run(2), a_scoring(3, "minio://b/more"), a_scoring(4)) == ["r1"]


def test_nothing_to_do() -> None:
    assert old() == []
    assert old(a_run(1)) == []


def test_the_newest_of_each_dataset_stay() -> None:
    other = a_run(1, dataset="minio://b/cups")
    assert old(other, a_run(2), a_run(3), a_run(4)) == ["r3", "r2"]
    assert old(other, a_run(2), a_run(3), a_run(4), keep=2) == ["r2"]


def test_what_failed_after_the_last_success_stays() -> None:
    runs = (a_run(1, state="FAILED"), a_run(2), a_run(3, state="FAILED"))
    assert old(*runs) == ["r1"]


def test_what_is_not_of_kfdet_stays() -> None:
    foreign, manifest = a_run(1)
    foreign["pipeline_version_reference"]["pipeline_id"] = "other"
    nothing, _ = a_run(2)
    assert old((foreign, manifest), (nothing, workflow()), a_run(3)) == []


def test_a_dataset_with_a_run_that_goes_on_is_left_alone() -> None:
    other = (a_run(1, dataset="minio://b/cups"), a_run(2, dataset="minio://b/cups"))
    runs = (*other, a_run(3), a_run(4), a_run(5, state="RUNNING"))
    assert old(*runs) == ["r1"]
    backend: Any = Backend(*runs)
    cluster: Any = Cluster()
    (first,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    assert not any("checkpoints" in place for place in first.places)


def test_what_a_kept_run_took_from_the_cache_stays() -> None:
    same = {"fingerprint": "f"}
    runs = (a_run(1), a_run(2, **same), a_run(3), a_run(4, takes=True, **same))
    assert old(*runs) == ["r3", "r1"]
    del FILES["minio://b/runs/kfdet-training/r4/fingerprint/1/state"]
    assert old(*runs) == []  # it may be any of them


@pytest.mark.parametrize(
    "served",
    [
        serving("s3://b/models/toys/aa"),
        serving("s3://b/models/toys/zz", previous="s3://b/models/toys/aa"),
        serving("s3://b/runs/kfdet-training/r1/evaluation/1/saved_model"),
    ],
)
def test_what_an_endpoint_serves_or_goes_back_to_stays(served: Any) -> None:
    runs = (a_run(1, deploys="aa"), a_run(2, deploys="bb"), a_run(3, deploys="cc"))
    assert old(*runs, served=[served]) == ["r2"]


@pytest.mark.parametrize(
    "served",
    [
        serving("s3://b/modèles/toys/aa"),
        serving("s3://b/modèles/toys/zz", previous="s3://b/modèles/toys/aa"),
    ],
)
def test_what_is_served_stays_whatever_letters_its_place_has(served: Any) -> None:
    root = {"model_root": "minio://b/modèles"}
    runs = (a_run(1, deploys="aa", **root), a_run(2, deploys="bb", **root), a_run(3))
    assert old(*runs, served=[served]) == ["r2"]


def test_what_a_run_or_a_schedule_names_stays() -> None:
    start = "minio://b/runs/kfdet-training/r1/evaluation/1/bundle"
    assert old(a_run(1), a_run(2), a_run(3, pretrained=start)) == ["r2"]
    assert old(a_run(1), a_run(2), a_run(3), planned=[{"pretrained": start}]) == ["r2"]


def places(*runs: Any, served: Any = (), planned: Any = ()) -> tuple[str, ...]:
    """What goes with the oldest run."""
    backend: Any = Backend(*runs, planned=planned)
    cluster: Any = Cluster(*served)
    return find_old_runs(backend, lambda _: cluster, "kubeflow", 1)[-1].places


FOLDER = "minio://b/runs/kfdet-training/r1"
MODEL = ("minio://b/models/toys/aa", "minio://b/models/toys/bundles/aa.zip")
TRAINING = ("minio://b/checkpoints/t1", "minio://b/tensorboard/t1")


def test_what_goes_with_a_run() -> None:
    first = a_run(1, deploys="aa")
    assert places(first, a_run(2)) == (FOLDER, *MODEL, *TRAINING)
    assert places(first, a_run(2, deploys="aa")) == (FOLDER, *TRAINING)
    start = {"pretrained": MODEL[1]}
    assert places(first, a_run(2), planned=[start]) == (FOLDER, MODEL[0], *TRAINING)
    FILES["minio://b/runs/kfdet-training/r2/training/1/ui"] = FILES[f"{FOLDER}/training/1/ui"]
    second = a_run(2)
    FILES["minio://b/runs/kfdet-training/r2/training/1/ui"] = FILES[f"{FOLDER}/training/1/ui"]
    assert places(first, second) == (FOLDER, *MODEL)


def test_an_interrupted_removal_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []

    def remove(uri: str) -> None:
        if not removed:
            removed.append(uri)
            raise KeyboardInterrupt
        removed.append(uri)
        FILES.pop(uri, None)

    monkeypatch.setattr(pruning, "remove", remove)
    monkeypatch.setattr(pruning, "write_note", write_note)
    backend: Any = Backend(a_run(1, deploys="aa"), a_run(2))
    cluster: Any = Cluster()
    (first,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    with pytest.raises(KeyboardInterrupt):
        prune(backend, first)
    assert list(backend.found) == ["r2"], "out of the cache before anything else"
    (again,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    assert (again.id, again.places, again.listed) == ("r1", first.places, False)
    cluster.manifests.append(serving("s3://b/models/toys/aa"))  # deployed again by hand
    (again,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    assert again.places == (FOLDER, *TRAINING)
    prune(backend, again)
    assert find_old_runs(backend, lambda _: cluster, "kubeflow", 1) == []
    assert not set(MODEL) & set(removed)


@pytest.mark.parametrize("deleted", [True, False])
def test_a_removal_without_an_answer_goes_on(
    deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "write_note", write_note)
    backend: Any = Backend(a_run(1, deploys="aa"), a_run(2))
    cluster: Any = Cluster()

    def delete_run(run_id: str) -> None:
        if deleted:
            del backend.found[run_id]
        raise KfdetError("no answer")

    monkeypatch.setattr(backend, "delete_run", delete_run)
    (first,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    with pytest.raises(KfdetError, match="no answer"):
        prune(backend, first)
    (again,) = find_old_runs(backend, lambda _: cluster, "kubeflow", 1)
    assert (again.id, again.places, again.listed) == ("r1", first.places, not deleted)
    assert find_old_runs(backend, lambda _: cluster, "kubeflow", 2) == [again] * deleted


def test_endpoints_of_every_namespace_count() -> None:
    runs = (a_run(1, deploys="aa", serving_namespace="serving"), a_run(2))
    asked: dict[str, Any] = {
        "kubeflow": Cluster(),
        "serving": Cluster(serving("s3://b/models/toys/aa")),
    }
    backend: Any = Backend(*runs)
    assert find_old_runs(backend, asked.__getitem__, "kubeflow", 1) == []
