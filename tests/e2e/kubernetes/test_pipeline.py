"""The pipeline on the cluster that KUBECONFIG names, driven by the command line: `make e2e`.

The cluster needs what manifests/ describes, and the images. Where Kubeflow Pipelines does not
answer through the kubeconfig, KFDET_KFP_HOST names its address; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID
and AWS_SECRET_ACCESS_KEY lead to the cluster's object store from here.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cluster_runs import (
    DATASET,
    NAME,
    PATIENCE_SECONDS,
    QUICK,
    SMALL,
    fresh,
    objects,
    submit,
    tasks,
    terminate,
    wait_for,
)
from support.command_line import kfdet_on_cluster as kfdet
from support.stage_names import STAGES

from kfdet.cluster.connection import connect as connect_cluster
from kfdet.cluster.names import NAMESPACE
from kfdet.demo.sample import make_sample
from kfdet.errors import InputError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.pruning import find_old_runs, prune
from kfdet.kubeflow.workflow import artifact_uri

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]


def test_a_run_succeeds_with_metrics_and_an_endpoint(first: dict[str, Any]) -> None:
    assert {stage["stage"] for stage in first["stages"]} == {*STAGES, "deployment"}
    assert {stage["state"] for stage in first["stages"]} <= {"succeeded", "cached"}
    assert {"AP", "AP50", "verdict"} <= set(first["metrics"])
    assert first["metrics"]["verdict"] is True
    assert first["endpoint"] == NAME
    assert NAME in first["url"]


def test_two_pods_a_stage_and_one_a_control_flow_node(first: dict[str, Any]) -> None:
    groups = Counter(stage["stage"] for stage in first["stages"])["frame_extraction"]
    stages = len(first["stages"])
    # the pipeline, the loop, each group, and the condition have a driver each
    assert first["pods"] <= 2 * stages + 1 + (1 + groups) + 1


def test_every_stage_writes_few_objects(backend: Backend, first: dict[str, Any]) -> None:
    written: Counter[str] = Counter()
    workflow = backend.workflow(first["run"])
    for stage, names in {
        "planning": ["plan"],
        "frame_extraction": ["shards", "index"],
        "interpolation": ["boxes"],
        "negative_mining": ["negatives"],
        "tfrecord_build": ["records", "all_boxes"],
        "training": ["model", "mlpipeline_ui_metadata"],
        "export": ["saved_model", "tflite_models"],
        "evaluation": [
            *("metrics", "confusion", "report", "gallery"),
            *("saved_model", "tflite", "bundle"),
        ],
    }.items():
        for name in names:
            uri = artifact_uri(workflow, stage, name)
            assert uri, (stage, name)
            parent, _, own = uri.rpartition("/")
            found = [e for e in objects(parent) if e.name == own or e.name.startswith(f"{own}/")]
            assert found, uri
            written[stage] += len(found)
    assert max(written.values()) <= 20, written


def test_where_nothing_has_changed_no_run_is_started(first: dict[str, Any]) -> None:
    again = submit("--endpoint", NAME)
    assert (again["run"], again["started"], again["pods"]) == (first["run"], False, 0)
    assert (again["metrics"], again["endpoint"]) == (first["metrics"], NAME)


def test_the_same_again_comes_from_the_cache(first: dict[str, Any]) -> None:
    before = connect_cluster(NAMESPACE).get(NAME)
    again = submit("--endpoint", NAME, "--again")
    states = {stage["stage"]: stage["state"] for stage in again["stages"]}
    assert states.pop("fingerprint") == states.pop("deployment") == "succeeded"
    assert set(states.values()) == {"cached"}
    assert again["metrics"] == first["metrics"]
    groups = Counter(stage["stage"] for stage in first["stages"])["frame_extraction"]
    # drivers of the pipeline, the loop, the condition, seven stages, and of each group and its
    # three stages; and the two stages that are never cached
    assert again["pods"] <= 1 + 1 + 1 + 7 + 4 * groups + 2
    after = connect_cluster(NAMESPACE).get(NAME)
    assert before
    assert after
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "deployed again"


def test_a_changed_dataset_under_the_same_address_trains_again(
    backend: Backend, first: dict[str, Any]
) -> None:
    """Started as the UI and a recurring run start it: with the same parameters as before."""

    def run_again() -> set[str]:
        """Start the first run once more; the stages that are not cached, up to the plan."""
        run = backend.run(first["run"])
        run_id = backend.start(
            f"{NAME} again",
            run["experiment_id"],
            run["pipeline_version_reference"],
            run["runtime_config"]["parameters"] | {"endpoint": ""},
            run["runtime_config"].get("pipeline_root", ""),
        )
        try:
            wait_for(
                lambda: (
                    (found := tasks(backend, run_id).get("planning"))
                    and found.state in ("cached", "succeeded", "failed")
                )
            )
            states = {name: task.state for name, task in tasks(backend, run_id).items()}
        finally:
            terminate(backend, run_id)
        return {name for name, state in states.items() if state == "succeeded"}

    assert run_again() == {"fingerprint"}
    with replaced(f"{DATASET}/annotations/garden.xml", b"\n"):
        assert run_again() == {"fingerprint", "planning"}
    assert run_again() == {"fingerprint"}


@contextmanager
def replaced(uri: str, end: bytes) -> Iterator[None]:
    """An object with something at its end while the block runs."""
    from kfdet.storage.address import BucketPath
    from kfdet.storage.store import Store

    place = BucketPath.parse(uri)
    with Store(uri) as store:

        def put(content: bytes) -> None:
            store.client.put_object(place.bucket, place.prefix, io.BytesIO(content), len(content))

        before = store.client.get_object(place.bucket, place.prefix).data
        put(before + end)
        try:
            yield
        finally:
            put(before)


def test_a_schedule_is_made_listed_paused_and_removed(dataset: str) -> None:
    """Whether it starts runs is up to Kubeflow Pipelines' controller; not every cluster has it."""
    times = ("--cron", "0 3 1 1 *", "--name", NAME)
    done = kfdet("schedule", dataset, *times, *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cron"] == "0 0 3 1 1 *"
    again = kfdet("schedule", dataset, *times)
    assert again.returncode == 2
    assert "already" in again.stderr
    done = kfdet("schedules", "--pause", NAME, "--json")
    (found,) = [each for each in json.loads(done.stdout) if each["name"] == NAME]
    assert (found["paused"], found["arguments"]["dataset"]) == (True, dataset)
    done = kfdet("schedules", "--resume", NAME, "--remove", NAME, "--json")
    assert done.returncode == 0, done.stderr
    assert NAME not in {each["name"] for each in json.loads(done.stdout)}


def test_kubeflows_own_sdk_submits(first: dict[str, Any]) -> None:
    script = Path(__file__).parents[3] / "examples" / "3-submit-with-the-sdk" / "submit.py"
    given = ("training_cpu=500m", "training_memory=3Gi")  # as SMALL
    host = os.environ.get("KFDET_KFP_HOST", "")
    done = subprocess.run(
        [sys.executable, str(script), DATASET, *given],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        env=os.environ | ({"KF_PIPELINES_ENDPOINT": host} if host else {}),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "SUCCEEDED"
    assert first["metrics"]


def test_a_sweep_makes_the_records_once_and_trains_every_setting(dataset: str) -> None:
    options = QUICK[: QUICK.index("--steps")]  # the grid names the steps
    done = kfdet(
        *("submit", dataset, "--json", *options, "--batch-size", "4", *SMALL, *fresh()),
        *("--grid", "steps=6,12"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    stages = Counter(stage["stage"] for stage in found["stages"])
    assert stages["training"] == 2
    assert {stages[name] for name in ("planning", "tfrecord_build", "selection", "export")} == {1}
    trials = found["sweep"]["trials"]
    assert sorted(trial["settings"]["steps"] for trial in trials) == [6, 12]
    assert found["sweep"]["chosen"] == trials[0]["settings"]
    assert "has the highest AP50" in found["sweep"]["reason"]
    assert {"AP", "AP50", "verdict"} <= set(found["metrics"])


def test_a_gate_that_fails_deploys_nothing(first: dict[str, Any]) -> None:
    other = f"{NAME}-no"
    done = submit("--endpoint", other, "--min-ap50", "1")
    assert done["metrics"]["verdict"] is False
    assert "deployment" not in {stage["stage"] for stage in done["stages"]}
    assert (done["endpoint"], done["url"]) == ("", "")
    assert connect_cluster(NAMESPACE).get(other) is None
    assert first["metrics"]["verdict"] is True


def test_the_compiled_pipeline_is_accepted_as_a_file(backend: Backend, tmp_path: Path) -> None:
    """As somebody uploads it in the UI."""
    file = tmp_path / "pipeline.yaml"
    assert kfdet("compile", "-o", str(file)).returncode == 0
    pipeline = backend.create_pipeline(f"{NAME}-file", "")
    version = backend.upload_version(pipeline, f"{NAME}-file", file)
    try:
        found = backend._request("GET", f"/apis/v2beta1/pipelines/{pipeline}/versions/{version}")
        parameters = found["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]
        assert parameters["parameters"]["dataset"]["description"]
    finally:
        backend._request("DELETE", f"/apis/v2beta1/pipelines/{pipeline}/versions/{version}")
        backend._request("DELETE", f"/apis/v2beta1/pipelines/{pipeline}")


def test_the_results_of_a_run_are_listed_and_downloaded(
    first: dict[str, Any], tmp_path: Path
) -> None:
    done = kfdet("runs", "--last", "50", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = [each for each in json.loads(done.stdout) if each["id"] == first["run"]]
    assert (found["state"], found["verdict"], found["endpoint"]) == ("succeeded", True, NAME)
    for _ in range(2):  # the second time everything is here
        done = kfdet("download", first["run"], "-o", str(tmp_path / "run"))
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["AP50"] == found["ap50"]
    assert (tmp_path / "run" / "model" / "1" / "saved_model.pb").is_file()
    assert zipfile.is_zipfile(tmp_path / "run" / "model.zip")


def test_pruned_runs_leave_bucket_and_cache(backend: Backend, tmp_path: Path) -> None:
    """With a dataset of its own, of which nothing else is in the cache."""
    place = f"{DATASET}-prune"
    make_sample(tmp_path / "dataset")
    assert kfdet("upload", str(tmp_path / "dataset"), place).returncode == 0

    def begin(seed: str) -> str:
        options = (*QUICK, "--min-ap50", "0", "--seed", seed, "--no-follow")
        done = kfdet("submit", place, "--json", *options)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["run"])

    old, new = begin("1"), begin("2")
    for run_id in (old, new):
        done = kfdet("submit", "--follow", run_id, "--json")
        assert done.returncode == 0, done.stderr
    listed = kfdet("prune", "--keep", "1", "--json")
    assert listed.returncode == 0, listed.stderr
    (mine,) = [each for each in json.loads(listed.stdout)["runs"] if each["run"] == old]
    assert mine["bytes"] > 0
    assert all(objects(each) for each in mine["places"] if "/runs/" in each)
    old_run = next(
        each for each in find_old_runs(backend, connect_cluster, NAMESPACE, 1) if each.id == old
    )
    prune(backend, old_run)  # not those of other tests
    assert not any(objects(each) for each in mine["places"])
    with pytest.raises(InputError):
        backend.run(old)
    run_id = begin("1")
    try:
        wait_for(
            lambda: (
                (found := tasks(backend, run_id).get("interpolation"))
                and found.state in ("running", "cached", "succeeded", "failed")
            )
        )
        found = tasks(backend, run_id)
        assert found["planning"].state == "succeeded", "from the cache, but gone"
        assert found["interpolation"].state in ("running", "succeeded"), "from the cache, but gone"
    finally:
        terminate(backend, run_id)
