"""The pipeline on the cluster that KUBECONFIG names, driven by the command line: `make e2e`.

The cluster needs what manifests/ describes, and the images. Where Kubeflow Pipelines does not
answer through the kubeconfig, KFDET_KFP_HOST names its address; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID
and AWS_SECRET_ACCESS_KEY lead to the cluster's object store from here.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.command_line import kfdet_on_cluster as kfdet
from support.stage_names import STAGES

from kfdet.cluster.connection import connect as connect_cluster
from kfdet.cluster.names import GROUP, NAMESPACE, PLURAL, STORAGE_SECRET
from kfdet.cluster.parameters import pipeline_root
from kfdet.demo.sample import make_sample
from kfdet.errors import InputError
from kfdet.kubeflow.backend import Backend, connect_backend
from kfdet.kubeflow.logs import Logs
from kfdet.kubeflow.orders import upload_pipeline
from kfdet.kubeflow.pruning import find_old_runs, prune
from kfdet.kubeflow.workflow import WorkflowTask, artifact_uri, read_workflow
from kfdet.pipelines.compilation import Compilation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

NAME = f"e2e-{uuid.uuid4().hex[:6]}"
DATASET = f"minio://kfdet/datasets/{NAME}"
SMALL = ("--training-cpu", "500m", "--training-memory", "3Gi")
QUICK = (
    *("--every", "6", "--longest-side", "320", "--input-size", "128x192"),
    *("--steps", "12", "--batch-size", "4", *SMALL),
)
"""What it learns is no use to anybody."""

# A place of their own: a training with the same data and settings would continue an older one's.
CHECKPOINTS = f"minio://kfdet/checkpoints/{NAME}"
LONG = (*QUICK, "--steps", "400", "--early-stop", "0", "--checkpoint-root", CHECKPOINTS)
"""Long enough to be disturbed; the last of an option given twice counts."""

UNKNOWN = "the cluster does not know InferenceServices"
PATIENCE_SECONDS = 1800


def fresh() -> tuple[str, str]:
    """An option that keeps a run from what earlier ones have left in the cache."""
    return "--seed", str(uuid.uuid4().int % 10**6)


@pytest.fixture(scope="session")
def backend() -> Backend:
    return connect_backend(os.environ.get("KFDET_KFP_HOST", ""))


def submit(*options: str) -> dict[str, Any]:
    """Run the pipeline to its end, as for the sample; what --json says of it."""
    done = kfdet("submit", DATASET, "--json", *SMALL, *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(backend: Backend, *options: str) -> str:
    """Start a run and leave it; its ID."""
    done = kfdet("submit", DATASET, "--json", "--no-follow", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(2)
    return found


def tasks(backend: Backend, run_id: str) -> dict[str, WorkflowTask]:
    """The tasks of a run by stage; of the loop's one."""
    return {task.stage: task for task in read_workflow(backend.workflow(run_id)).tasks}


def terminate(backend: Backend, run_id: str) -> None:
    backend._request("POST", f"/apis/v2beta1/runs/{run_id}:terminate")


@contextmanager
def following(backend: Backend, run_id: str) -> Iterator[list[str]]:
    """The lines that following a run prints, as they come; the run is ended afterwards."""
    command = [sys.executable, "-m", "kfdet", "submit", "--follow", run_id]
    lines: list[str] = []
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    ) as process:
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        try:
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            reader.join(10)
            terminate(backend, run_id)


def objects(prefix: str) -> list[Any]:
    """What lies in the bucket below a URI."""
    from kfdet.storage.address import BucketPath
    from kfdet.storage.listing import entries
    from kfdet.storage.store import Store

    with Store(prefix) as store:
        return entries(store, BucketPath.parse(prefix))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample") / "dataset"
    make_sample(folder)
    done = kfdet("upload", str(folder), DATASET)
    assert done.returncode == 0, done.stderr
    return DATASET


@pytest.fixture(scope="module")
def first(dataset: str) -> Iterator[dict[str, Any]]:
    """A run that deploys."""
    assert dataset == DATASET
    yield submit("--endpoint", NAME)
    connect_cluster(NAMESPACE).delete(NAME)


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
    assert trials[0]["AP50"] >= trials[1]["AP50"]
    assert {"AP", "AP50", "verdict"} <= set(found["metrics"])


def test_a_gate_that_fails_deploys_nothing(first: dict[str, Any]) -> None:
    other = f"{NAME}-no"
    done = submit("--endpoint", other, "--min-ap50", "1")
    assert done["metrics"]["verdict"] is False
    assert "deployment" not in {stage["stage"] for stage in done["stages"]}
    assert (done["endpoint"], done["url"]) == ("", "")
    assert connect_cluster(NAMESPACE).get(other) is None
    assert first["metrics"]["verdict"] is True


def running_pod(backend: Backend, run_id: str, stage: str) -> str:
    task = tasks(backend, run_id).get(stage)
    return task.pod if task and task.state == "running" else ""


def kill(core: Any, pod: str) -> None:
    """End the stage's process as the kernel does when memory runs out."""
    from kubernetes.stream import stream

    script = (
        "import os, pathlib\n"
        "for p in pathlib.Path('/proc').glob('[0-9]*'):\n"
        "    command = (p / 'cmdline').read_bytes()\n"
        "    if b'kfdet.components' in command and int(p.name) != os.getpid():\n"
        "        os.kill(int(p.name), 9)\n"
    )
    command = ["python3", "-c", script]
    connect = core.connect_get_namespaced_pod_exec
    stream(connect, pod, NAMESPACE, container="main", command=command, stdout=True, stderr=True)


def delete(core: Any, pod: str) -> None:
    """Take the pod away as somebody does who empties its node."""
    if not core.read_namespaced_pod(pod, NAMESPACE).metadata.finalizers:
        pytest.skip("this Argo forgets deleted pods: ARGO_POD_STATUS_CAPTURE_FINALIZER is not set")
    core.delete_namespaced_pod(pod, NAMESPACE)


@pytest.mark.parametrize("end", [kill, delete])
def test_a_killed_training_pod_continues(
    end: Callable[[Any, str], None], backend: Backend, dataset: str, core: Any
) -> None:
    root = "minio://kfdet/checkpoints"
    before = {entry.name for entry in objects(root)}
    run_id = start(backend, *LONG, *fresh())
    pod = wait_for(lambda: running_pod(backend, run_id, "training"))
    wait_for(
        lambda: any(
            entry.name.endswith("/checkpoint") and entry.name not in before
            for entry in objects(root)
        )
    )
    end(core, pod)
    wait_for(lambda: tasks(backend, run_id)["training"].attempt == 2, 300)
    second = wait_for(lambda: running_pod(backend, run_id, "training"), 300)
    done = kfdet("submit", "--follow", run_id, "--json")
    assert done.returncode == 0, done.stderr
    log = core.read_namespaced_pod_log(second, NAMESPACE, container="main")
    assert re.search(r"restored from checkpoint: \S*ckpt-[1-9]", log), "it began anew"


def test_a_store_that_is_away_for_a_minute_loses_nothing(
    backend: Backend, dataset: str, core: Any
) -> None:
    from kubernetes import client

    apps = client.AppsV1Api(core.api_client)
    for kind in ("deployment", "stateful_set"):
        scale = getattr(apps, f"patch_namespaced_{kind}_scale")
        with suppress(client.ApiException):
            getattr(apps, f"read_namespaced_{kind}")("minio", NAMESPACE)
            break
    else:
        pytest.skip("the object store is not in the cluster")
    run_id = start(backend, *LONG, *fresh())
    wait_for(lambda: running_pod(backend, run_id, "training"))
    time.sleep(20)
    scale("minio", NAMESPACE, {"spec": {"replicas": 0}})
    try:
        time.sleep(60)
    finally:
        scale("minio", NAMESPACE, {"spec": {"replicas": 1}})
    done = kfdet("submit", "--follow", run_id, "--json")
    assert done.returncode == 0, done.stderr
    states = {stage["stage"]: stage["state"] for stage in json.loads(done.stdout)["stages"]}
    assert set(states) == set(STAGES)
    logged = {entry.name.partition("/")[0] for entry in objects("minio://kfdet/tensorboard")}
    wait_for(lambda: logged <= shown_by_tensorboard(), 120)


def shown_by_tensorboard() -> set[str]:
    """The trainings that the TensorBoard of all runs knows."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/kfdet-tensorboard:http/proxy/data/runs"
    return {run.partition("/")[0] for run in connect_cluster(NAMESPACE)._request("GET", path)}


# --- what is not there ends with what to do ---


def test_a_missing_bucket(dataset: str) -> None:
    done = kfdet("submit", f"minio://no-such-bucket-{NAME}/toys")
    assert done.returncode == 2
    assert "bucket" in done.stderr


def test_a_gpu_that_nobody_has(backend: Backend, dataset: str) -> None:
    run_id = start(
        backend, *QUICK, "--accelerator-type", "example.com/gpu", "--accelerator-count", "1"
    )
    with following(backend, run_id) as lines:
        wait_for(lambda: any("lower --accelerator-count" in line for line in lines), 600)
        (said,) = [line for line in lines if "training waits" in line]
        assert "Insufficient example.com/gpu" in said
    assert any(f"kfdet submit --follow {run_id}" in line for line in lines)


def test_wrong_credentials_in_the_cluster(backend: Backend, dataset: str, core: Any) -> None:
    secret = core.read_namespaced_secret(STORAGE_SECRET, NAMESPACE)
    right = {"data": {"AWS_SECRET_ACCESS_KEY": secret.data["AWS_SECRET_ACCESS_KEY"]}}
    wrong = {"data": {"AWS_SECRET_ACCESS_KEY": base64.b64encode(b"wrong").decode()}}
    core.patch_namespaced_secret(STORAGE_SECRET, NAMESPACE, wrong)
    try:
        run_id = start(backend, *QUICK, *fresh())
        with following(backend, run_id) as lines:
            wait_for(lambda: any("fingerprint" in line and "AWS_" in line for line in lines), 600)
    finally:
        core.patch_namespaced_secret(STORAGE_SECRET, NAMESPACE, right)


@contextmanager
def without_endpoints(core: Any) -> Iterator[None]:
    """The cluster as it is without KServe: it does not know InferenceServices.

    They are hidden, not deleted: nothing that is served stops.
    """
    from kubernetes import client

    elsewhere = {
        found["metadata"]["namespace"]
        for found in client.CustomObjectsApi(core.api_client).list_cluster_custom_object(
            GROUP, "v1beta1", PLURAL
        )["items"]
    } - {NAMESPACE}
    if elsewhere:
        pytest.skip(f"others use KServe here: {', '.join(sorted(elsewhere))}")
    extensions = client.ApiextensionsV1Api(core.api_client)
    name = f"{PLURAL}.{GROUP}"
    versions = extensions.read_custom_resource_definition(name).spec.versions

    def serve(wanted: bool) -> None:
        extensions.patch_custom_resource_definition(
            name,
            [
                {"op": "replace", "path": f"/spec/versions/{i}/served", "value": wanted}
                for i, version in enumerate(versions)
                if version.served
            ],
        )
        wait_for(lambda: knows_endpoints() == wanted, 60)

    serve(False)
    try:
        yield
    finally:
        serve(True)


def knows_endpoints() -> bool:
    try:
        connect_cluster(NAMESPACE).endpoints()
    except InputError as error:
        if UNKNOWN not in str(error):
            raise
        return False
    return True


def test_a_cluster_without_kserve(backend: Backend, first: dict[str, Any], core: Any) -> None:
    other = f"{NAME}-un"
    run_id = start(backend, *SMALL, "--endpoint", other)
    with without_endpoints(core):
        with following(backend, run_id) as lines:
            wait_for(lambda: any("deployment" in line and UNKNOWN in line for line in lines), 600)
        refused = [kfdet("endpoints", "-n", NAMESPACE)]
        if "KFDET_KFP_HOST" not in os.environ:  # of an address nobody knows whose cluster it is
            refused.append(kfdet("submit", DATASET, "--endpoint", other))
    for done in refused:
        assert done.returncode == 2
        assert UNKNOWN in " ".join(done.stderr.split())
        assert "Install KServe" in done.stderr
    assert connect_cluster(NAMESPACE).get(first["endpoint"])


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
    quick = (*QUICK, "--seed", "1", "--min-ap50", "0")

    def run(*options: str) -> dict[str, Any]:
        done = kfdet("submit", place, "--json", *quick, *options)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    old, new = run(), run("--seed", "2")
    listed = kfdet("prune", "--keep", "1", "--json")
    assert listed.returncode == 0, listed.stderr
    (mine,) = [each for each in json.loads(listed.stdout)["runs"] if each["run"] == old["run"]]
    assert mine["bytes"] > 0
    assert all(objects(each) for each in mine["places"] if "/runs/" in each)
    old_run = next(
        each
        for each in find_old_runs(backend, connect_cluster, NAMESPACE, 1)
        if each.id == old["run"]
    )
    prune(backend, old_run)  # not those of other tests
    assert not any(objects(each) for each in mine["places"])
    with pytest.raises(InputError):
        backend.run(old["run"])
    again = run()
    states = {stage["stage"]: stage["state"] for stage in again["stages"]}
    assert states["planning"] == states["training"] == "succeeded", "from the cache, but gone"
    assert new["metrics"]


# --- failures ---


def test_a_bad_parameter_from_the_ui_fails_once(backend: Backend, dataset: str) -> None:
    pipeline_id, version_id, _ = upload_pipeline(backend, Compilation())
    run_id = backend.start(
        f"{NAME} bad",
        backend.experiment("kfdet"),
        {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
        {"dataset": dataset, "network": "resnet"},
        pipeline_root("kfdet"),
    )
    run = wait_for(lambda: (found := backend.run(run_id)).get("finished_at") and found, 600)
    assert run["state"] == "FAILED"
    ended = tasks(backend, run_id)
    assert set(ended) == {"fingerprint"}
    assert ended["fingerprint"].attempt == 1
    assert "network must be one of" in ended["fingerprint"].message


def test_two_equal_trainings_at_once(backend: Backend, dataset: str) -> None:
    """One waits for the other, and then has nothing left to train."""
    seed = fresh()
    root = ("--checkpoint-root", f"{CHECKPOINTS}-twice")
    runs = [start(backend, *LONG, *seed, *root) for _ in range(2)]
    logs = Logs(backend)
    pods = [wait_for(lambda r=r: running_pod(backend, r, "training")) for r in runs]

    def waits() -> bool:
        found = zip(runs, pods, strict=True)
        texts = [logs.read(backend.workflow(run), run, pod) for run, pod in found]
        return any("waiting until it ends" in text for text in texts)

    wait_for(waits, 300)
    for run_id in runs:
        done = kfdet("submit", "--follow", run_id, "--json")
        assert done.returncode == 0, done.stderr
