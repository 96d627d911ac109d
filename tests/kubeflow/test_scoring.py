from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from support.kfp_backend import KfpBackend
from support.object_store import ObjectStore
from support.workflow_samples import driver, patch, ran, workflow

from kfdet.cluster.parameters import Accelerators, ScoringPods
from kfdet.errors import InputError
from kfdet.kubeflow import submission
from kfdet.kubeflow.following import FinishedRun
from kfdet.kubeflow.scoring import prepare_scoring
from kfdet.kubeflow.submission import result, start
from kfdet.kubeflow.workflow import read_workflow
from kfdet.parameters import ScoringSettings
from kfdet.pipelines.compilation import Compilation

GOOD: dict[str, Any] = {
    "source": "minio://films/today",
    "target": "minio://found/today",
    "model": "minio://films/models/toys.zip",
    "settings": ScoringSettings(),
    "pods": ScoringPods(),
    "accelerators": Accelerators(),
    "compilation": Compilation(),
    "experiment": "kfdet",
}


@pytest.fixture
def films(object_store: ObjectStore) -> ObjectStore:
    """A bucket with a picture and a model."""
    object_store.client.make_bucket("films")
    for key in ("today/a.jpg", "models/toys.zip", "notes/a.txt"):
        object_store.client.put_object("films", key, io.BytesIO(b"content"), 7)
    return object_store


@pytest.mark.usefixtures("films")
@pytest.mark.parametrize(
    ("namespace", "root"), [("", "s3://found/runs"), ("ann", "")], ids=["alone", "several users"]
)
def test_a_run_of_the_scoring_pipeline(namespace: str, root: str) -> None:
    backend: Any = KfpBackend()
    backend.namespace = namespace
    given = GOOD | {
        "settings": ScoringSettings(every=5),
        "pods": ScoringPods(groups=8),
        "accelerators": Accelerators(accelerator_count=1, node_selector='{"gpu": "yes"}'),
    }
    order = prepare_scoring(backend, **given)
    assert start(backend, order) == "r1"
    assert (backend.pipelines, order.name) == (["kfdet-scoring"], "today")
    experiment, _, arguments, pipeline_root = backend.started
    assert (experiment, pipeline_root) == ("kfdet", root)
    assert arguments == {
        "source": "minio://films/today",
        "target": "minio://found/today",
        "model": "minio://films/models/toys.zip",
        **vars(ScoringSettings(every=5)),
        **vars(ScoringPods(groups=8)),
        "accelerator_count": "1",
        "accelerator_type": "nvidia.com/gpu",
        "node_selector": {"gpu": "yes"},
        "tolerations": [],
    }
    (pipeline,) = backend.versions.values()
    assert all(f"      {name}:" in pipeline for name in arguments)


@pytest.mark.usefixtures("films")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": "videos"}, "videos: is not in an object store"),
        ({"target": "scores"}, "scores: is not in an object store"),
        ({"model": "run"}, "run: is not in an object store"),
        ({"model": "http://localhost:8501"}, "http://localhost:8501: is not in an object store"),
        ({"source": "gs://films/today"}, "gs:// is not supported"),
        ({"target": "minio://"}, "is not the address of a bucket"),
        ({"target": "s3://films/today/found"}, "inside the folder that is scored"),
        ({"settings": ScoringSettings(threshold=2)}, "threshold must be"),
        ({"pods": ScoringPods(scoring_memory="4GB")}, "scoring_memory must be"),
        ({"accelerators": Accelerators(tolerations="{}")}, "tolerations must be"),
        ({"compilation": Compilation(stage_cpu="many")}, "stage_cpu must be"),
        ({"source": "minio://films/yesterday"}, "neither pictures nor videos"),
        ({"source": "minio://films/notes"}, "neither pictures nor videos"),
        ({"model": "minio://films/models/toy"}, "no objects with this key"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_scored_starts_nothing(changed: dict[str, Any], message: str) -> None:
    backend: Any = KfpBackend()
    with pytest.raises(InputError) as error:
        prepare_scoring(backend, **GOOD | changed)
    assert message in str(error.value)
    assert not backend.pipelines


@pytest.mark.usefixtures("films")
def test_a_model_may_be_a_folder() -> None:
    backend: Any = KfpBackend()
    assert prepare_scoring(backend, **GOOD | {"model": "minio://films/models/"}).arguments


def test_the_numbers_of_a_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"minio://b/summary": {"files": 2}}
    monkeypatch.setattr(submission, "read_json", lambda uri: found[uri])
    summary = driver(
        "root.scoring-summary", pod_spec_patch=patch(outputs={"summary": "minio://b/summary"})
    )
    manifest = workflow(*ran("root.scoring-plan"), summary)
    backend: Any = KfpBackend()
    run = {"run_id": "r1", "experiment_id": "e", "runtime_config": {"parameters": {}}}
    ended = FinishedRun(run, manifest, read_workflow(manifest))
    got = result(backend, ended)
    assert (got.scoring, got.metrics, got.unread) == ({"files": 2}, None, "")
    found.clear()
    monkeypatch.setattr(submission, "read_json", refuse)
    got = result(backend, replace(ended))
    assert (got.scoring, got.unread) == (None, "the store refuses.")


def refuse(_: str) -> dict[str, Any]:
    raise InputError("the store refuses.")
