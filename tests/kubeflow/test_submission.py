from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_cluster import FakeCluster, running
from support.kfp_backend import KfpBackend
from support.object_store import ObjectStore
from support.workflow_samples import cached, driver, patch, ran, workflow

from kfdet.cluster import connection
from kfdet.cluster.parameters import ClusterParameters
from kfdet.deployment.endpoint import Release, Serving
from kfdet.deployment.inference_service import build
from kfdet.errors import InputError, KfdetError
from kfdet.events import listening
from kfdet.kubeflow import submission
from kfdet.kubeflow.following import FinishedRun
from kfdet.kubeflow.orders import Order, upload_pipeline, version_name
from kfdet.kubeflow.submission import find_unchanged, prepare, result, start
from kfdet.kubeflow.workflow import read_workflow
from kfdet.parameters import Parameters, SweepSettings
from kfdet.pipelines.compilation import Compilation


def submit(backend: Any, *what: Any) -> str:
    return start(backend, prepare(backend, *what))


def test_the_version_is_named_after_its_content() -> None:
    assert version_name("a") == version_name("a")
    assert version_name("a") != version_name("b")


def test_an_unchanged_pipeline_is_uploaded_once() -> None:
    backend: Any = KfpBackend()
    first = upload_pipeline(backend, Compilation())
    assert upload_pipeline(backend, Compilation()) == first
    assert backend.pipelines == ["kfdet-training"]
    assert list(backend.versions) == [first[2]]
    other = upload_pipeline(backend, Compilation(image="hub/kfdet@sha256:1"))
    assert other[2] != first[2]
    assert backend.pipelines == ["kfdet-training"]
    assert "hub/kfdet@sha256:1" in backend.versions[other[2]]


def test_a_pipeline_that_another_client_uploads_first() -> None:
    class Late(KfpBackend):
        def create_pipeline(self, name: str, description: str) -> str:
            super().create_pipeline(name, description)
            raise KfdetError("409")

        def upload_version(self, pipeline_id: str, name: str, file: Path) -> str:
            super().upload_version(pipeline_id, name, file)
            raise KfdetError("409")

    backend: Any = Late()
    assert upload_pipeline(backend, Compilation())[:2] == ("p1", "v")


@pytest.mark.parametrize(
    ("version", "chosen", "confined", "warned"),
    [
        ("2.17.0", "", True, ""),
        ("2.16.1", "", True, ""),
        ("2.15.0", "", False, ""),
        ("2.14.3", "", False, "Kubeflow Pipelines here is 2.14.3"),
        ("2.18.0", "", True, "Kubeflow Pipelines here is 2.18.0"),
        ("unknown", "", True, "Kubeflow Pipelines does not tell its version"),
        ("unknown", "2.15", False, ""),
        ("", "2.16.1", True, ""),
    ],
)
def test_the_pipeline_is_compiled_for_the_version_that_answers(
    version: str, chosen: str, confined: bool, warned: str
) -> None:
    backend: Any = KfpBackend()
    backend.version = version
    events: list[dict[str, Any]] = []
    with listening(events.append):
        upload_pipeline(backend, Compilation(kfp_version=chosen))
    assert ("runAsNonRoot" in next(iter(backend.versions.values()))) == confined
    messages = [event["message"] for event in events if event["event"] == "warning"]
    assert [warned in message for message in messages] == [True] * bool(warned)


def test_a_version_that_cannot_run_the_pipeline() -> None:
    backend: Any = KfpBackend()
    backend.version = "2.5.0"
    with pytest.raises(InputError, match=r"2\.5\.0 cannot run.*loop.*Upgrade it to 2\.15"):
        upload_pipeline(backend, Compilation())
    assert not backend.pipelines


@pytest.mark.parametrize(
    ("dataset", "parameters", "message"),
    [
        ("", Parameters(), "is not in an object store"),
        ("videos", Parameters(), "kfdet upload videos minio://"),
        ("gs://a/b", Parameters(), "gs:// is not supported"),
        ("minio://a/b", Parameters(pretrained="ckpt"), "ckpt: is on this machine"),
        ("minio://a/b", Parameters(against="run"), "run: is on this machine"),
        (
            "minio://a/b",
            Parameters(promote="better"),
            "--promote better has nothing to compare with",
        ),
    ],
)
def test_what_a_cluster_cannot_read(dataset: str, parameters: Parameters, message: str) -> None:
    backend: Any = KfpBackend()
    with pytest.raises(InputError) as error:
        submit(backend, dataset, parameters, ClusterParameters(), Compilation(), "kfdet")
    assert message in str(error.value)
    assert not backend.pipelines


def test_a_store_that_the_launcher_cannot_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://storage.googleapis.com")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    backend: Any = KfpBackend()
    with pytest.raises(InputError, match="Google changes a header"):
        submit(backend, "s3://a/b", Parameters(), ClusterParameters(), Compilation(), "kfdet")
    assert not backend.pipelines


@pytest.mark.parametrize(
    ("cluster", "compilation", "message"),
    [
        (ClusterParameters(endpoint="toys", canary_percent=100), Compilation(), "canary_percent"),
        (ClusterParameters(node_selector='{"gpu": 1}'), Compilation(), "node_selector"),
        (ClusterParameters(), Compilation(shared_memory="1GB"), "shared_memory"),
    ],
)
def test_what_no_cluster_takes(
    cluster: ClusterParameters, compilation: Compilation, message: str
) -> None:
    backend: Any = KfpBackend()
    with pytest.raises(InputError, match=message):
        submit(backend, "minio://a/b", Parameters(), cluster, compilation, "kfdet")
    assert not backend.pipelines


def test_an_endpoint_that_cannot_be() -> None:
    backend: Any = KfpBackend()
    cluster = ClusterParameters(endpoint="Toys!")
    with pytest.raises(InputError, match="cannot be the name of an endpoint"):
        submit(backend, "minio://a/b", Parameters(), cluster, Compilation(), "kfdet")


@pytest.mark.parametrize(
    ("namespace", "root"), [("", "s3://toys/runs"), ("ann", "")], ids=["alone", "several users"]
)
def test_everything_is_kept_in_the_datasets_bucket(
    namespace: str, root: str, object_store: ObjectStore
) -> None:
    object_store.client.make_bucket("toys")
    object_store.client.put_object("toys", "cups/a.jpg", io.BytesIO(b"picture"), 7)
    backend: Any = KfpBackend()
    backend.namespace = namespace
    submit(backend, "s3://toys/cups", Parameters(), ClusterParameters(), Compilation(), "kfdet")
    experiment, _, arguments, pipeline_root = backend.started
    assert (experiment, pipeline_root) == ("kfdet", root)
    assert arguments["dataset"] == "s3://toys/cups"
    assert arguments["model_root"] == "minio://toys/models"
    assert arguments["checkpoint_root"] == "minio://toys/checkpoints"


@pytest.mark.parametrize(
    ("same_cluster", "settings", "warned"),
    [
        (True, (200, {"data": {}}), True),
        (True, (200, {"data": {"providers": "s3: {overrides: [{bucketName: toys}]}"}}), False),
        (True, (403, {"reason": "Forbidden"}), False),
        (False, (200, {"data": {}}), False),
    ],
)
def test_a_bucket_that_the_launcher_does_not_know(
    same_cluster: bool,
    settings: Any,
    warned: bool,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    object_store.client.make_bucket("toys")
    object_store.client.put_object("toys", "cups/a.jpg", io.BytesIO(b"picture"), 7)
    backend: Any = KfpBackend()
    backend.same_cluster = same_cluster
    fake = FakeCluster()
    fake.answers["GET", "/configmaps/kfp-launcher"] = settings
    events: list[dict[str, Any]] = []
    with running(fake) as target, listening(events.append):
        monkeypatch.setattr(connection, "connect", lambda *_: target)
        given = ("minio://toys/cups", Parameters(), ClusterParameters(), Compilation(), "kfdet")
        submit(backend, *given)
    messages = [event["message"] for event in events if event["event"] == "warning"]
    assert any("no setting for the bucket toys" in message for message in messages) == warned


def test_a_grid_makes_it_a_sweep(object_store: ObjectStore) -> None:
    object_store.client.make_bucket("toys")
    object_store.client.put_object("toys", "cups/a.jpg", io.BytesIO(b"picture"), 7)
    backend: Any = KfpBackend()
    given = ("minio://toys/cups", Parameters(), ClusterParameters(), Compilation(), "kfdet")
    submit(backend, *given, SweepSettings("steps=10,20"))
    assert backend.pipelines == ["kfdet-sweep"]
    _, _, arguments, _ = backend.started
    assert (arguments["grid"], arguments["random"]) == ("steps=10,20", 0)
    submit(backend, *given)
    assert backend.pipelines == ["kfdet-sweep", "kfdet-training"]
    assert "grid" not in backend.started[2]


@pytest.mark.parametrize("sweep", [SweepSettings("step=1,2"), SweepSettings(random=3)])
def test_a_grid_that_is_none_starts_nothing(sweep: SweepSettings) -> None:
    backend: Any = KfpBackend()
    given = ("minio://a/b", Parameters(), ClusterParameters(), Compilation(), "kfdet")
    with pytest.raises(InputError, match=r"the grid|no training parameter"):
        submit(backend, *given, sweep)
    assert not backend.pipelines


@pytest.mark.parametrize("same_cluster", [False, True])
def test_the_cluster_is_asked_where_it_is_the_same(
    same_cluster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    backend: Any = KfpBackend()
    backend.same_cluster = same_cluster
    cluster = ClusterParameters(endpoint="toys")
    with pytest.raises(InputError) as error:
        submit(backend, "minio://a/b", Parameters(), cluster, Compilation(), "kfdet")
    assert ("there is no kubeconfig" in str(error.value)) == same_cluster
    assert ("Set AWS_ENDPOINT_URL" in str(error.value)) != same_cluster


# --- what came of it ---


def traces(uri: str) -> dict[str, Any]:
    """What the stages that are never cached have left in the bucket."""
    if uri.endswith("/gone"):
        raise InputError("there is nothing.")
    return {"minio://b/state": {"fingerprint": "f1"}, "minio://b/outcome": OUTCOME}[uri]


def a_run(run_id: str, version: str = "v1", **parameters: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "state": "SUCCEEDED",
        "created_at": f"2026-11-0{run_id[1:]}T09:00:00Z",
        "experiment_id": "e",
        "pipeline_version_reference": {"pipeline_id": "p", "pipeline_version_id": version},
        "runtime_config": {"parameters": parameters},
    }


OUTCOME = {"version": "111111111111", "created": "2026-11-21T09:00:00Z"}
METRICS = driver("root.evaluation", pod_spec_patch=patch(outputs={"metrics": "minio://b/computed"}))
EVALUATED = workflow(driver("root.planning", pod_spec_patch=patch(fingerprint="f1")), METRICS)
OTHER_DATA = workflow(driver("root.planning", pod_spec_patch=patch(fingerprint="f2")), METRICS)
FOUND = driver("root.fingerprint", pod_spec_patch=patch(outputs={"state": "minio://b/state"}))
PRUNED = driver("root.fingerprint", pod_spec_patch=patch(outputs={"state": "minio://b/gone"}))
JUDGED_AGAIN = workflow(FOUND, *cached("root.planning"), METRICS)
UNTRACED = workflow(PRUNED, *cached("root.planning"), METRICS)
CACHED = workflow(FOUND, *cached("root.planning"), *cached("root.evaluation"))
RESULTS = [
    (EVALUATED, [], "minio://b/computed"),
    (
        workflow(
            *cached("root.evaluation"),
            driver(
                "root.condition-2.condition-3.deployment",
                pod_spec_patch=patch(inputs={"metrics": "minio://b/given"}),
            ),
        ),
        *([], "minio://b/given"),
    ),
    (CACHED, [], ""),
    (CACHED, [(a_run("r1", seed=0), EVALUATED)], "minio://b/computed"),
    (
        CACHED,
        [(a_run("r1", seed=0, endpoint="e", training_cpu="2"), EVALUATED)],
        "minio://b/computed",
    ),
    (CACHED, [(a_run("r1", seed=1), EVALUATED)], ""),
    (CACHED, [(a_run("r1", seed=0), OTHER_DATA)], ""),
    (CACHED, [(a_run("r9", seed=0), JUDGED_AGAIN), (a_run("r1", seed=0), CACHED)], ""),
    (CACHED, [(a_run("r1", seed=0), JUDGED_AGAIN)], "minio://b/computed"),
    (CACHED, [(a_run("r1", seed=0), UNTRACED)], ""),
    (CACHED, [(a_run("r1", "v0", seed=0), EVALUATED)], ""),
    (
        CACHED,
        [(a_run("r1", seed=0), CACHED), (a_run("r2", seed=0), EVALUATED)],
        "minio://b/computed",
    ),
]


@pytest.mark.parametrize(("manifest", "earlier", "uri"), RESULTS)
def test_metrics_come_from_the_run_that_computed_them(
    manifest: dict[str, Any], earlier: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def read_metrics(place: str) -> dict[str, Any]:
        read.append(place)
        return {"AP50": 1.0}

    monkeypatch.setattr(submission, "read_metrics", read_metrics)
    monkeypatch.setattr("kfdet.kubeflow.earlier.read_json", traces)
    backend: Any = KfpBackend(*earlier)
    ended = FinishedRun(a_run("r8", seed=0), manifest, read_workflow(manifest))
    found = result(backend, ended)
    assert read == ([uri] if uri else [])
    assert (found.metrics is None) == (not uri)
    assert bool(found.unread) == (not uri)
    assert (found.endpoint, found.url) == ("", "")


def test_the_endpoint_of_a_run_that_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    manifest = workflow(*ran("root.condition-2.condition-3.deployment"))
    backend: Any = KfpBackend()
    ended = FinishedRun(a_run("r9", endpoint="toys"), manifest, read_workflow(manifest))
    found = result(backend, ended)
    assert (found.endpoint, found.url) == ("toys", "")


@pytest.mark.parametrize(("given", "expected"), [("", "default"), ("models", "models")])
def test_an_endpoint_in_a_namespace_of_its_own(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(connection, "connect", asked.append)
    manifest = workflow(*ran("root.condition-2.condition-3.deployment"))
    manifest["metadata"]["namespace"] = "default"
    run = a_run("r9", endpoint="toys", serving_namespace=given)
    with pytest.raises(AttributeError):  # there is no cluster
        result(KfpBackend(), FinishedRun(run, manifest, read_workflow(manifest)))  # type: ignore[arg-type]
    assert asked == [expected]


def test_several_datasets(object_store: ObjectStore) -> None:
    object_store.client.make_bucket("toys")
    for name in ("cups", "mugs"):
        object_store.client.put_object("toys", f"{name}/a.jpg", io.BytesIO(b"picture"), 7)
    backend: Any = KfpBackend()
    both = "s3://toys/cups, s3://toys/mugs"
    submit(backend, both, Parameters(), ClusterParameters(), Compilation(), "kfdet")
    assert backend.started[2]["dataset"] == both
    with pytest.raises(InputError, match="mugs/: is not in an object store"):
        submit(
            *(backend, "s3://toys/cups,mugs/", Parameters(), ClusterParameters()),
            *(Compilation(), "kfdet"),
        )


# --- is there anything to do? ---

DEPLOYED = workflow(
    FOUND,
    driver(
        "root.condition-2.deployment",
        pod_spec_patch=patch(outputs={"outcome": "minio://b/outcome"}),
    ),
)
ORDER = Order(
    "toys",
    "e",
    {"pipeline_id": "p", "pipeline_version_id": "v1"},
    {"seed": 0, "endpoint": "toys", "serving_namespace": ""},
    "minio://b/runs",
    "f1",
)
NO_DEPLOYMENT = workflow(FOUND)
SERVING = {"version": OUTCOME["version"], "created": OUTCOME["created"], "ready": "True"}


@pytest.mark.parametrize(
    ("earlier_run", "manifest", "serving", "found"),
    [
        ({}, DEPLOYED, SERVING, True),
        ({}, DEPLOYED, {**SERVING, "version": "222222222222"}, False),
        ({}, DEPLOYED, {**SERVING, "created": "2026-11-22T09:00:00Z"}, False),
        ({}, DEPLOYED, {**SERVING, "ready": "False"}, False),
        ({}, DEPLOYED, None, False),
        ({}, NO_DEPLOYMENT, None, True),  # the verdict was bad, and would be again
        ({"state": "FAILED"}, DEPLOYED, SERVING, False),
        ({"version": "v0"}, DEPLOYED, SERVING, False),
        ({"seed": 1}, DEPLOYED, SERVING, False),
        ({}, workflow(PRUNED), SERVING, False),
        ({}, OTHER_DATA, SERVING, False),
    ],
)
def test_a_run_that_did_the_same(
    earlier_run: dict[str, Any],
    manifest: dict[str, Any],
    serving: dict[str, str] | None,
    found: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {**ORDER.arguments, "version": "v1"} | earlier_run
    state = given.pop("state", "SUCCEEDED")
    run = a_run("r1", given.pop("version"), **given) | {"state": state}
    monkeypatch.setattr("kfdet.kubeflow.earlier.read_json", traces)

    class Cluster:
        def get(self, name: str) -> dict[str, Any] | None:
            assert name == "toys"
            if serving is None:
                return None
            release = Release(serving["version"], "s3://b/models/toys/1")
            made = build(name, "default", Serving(release), "Standard")
            made["metadata"]["creationTimestamp"] = serving["created"]
            made["status"] = {"conditions": [{"type": "Ready", "status": serving["ready"]}]}
            return made

    monkeypatch.setattr(connection, "connect", lambda _: Cluster())
    manifest["metadata"]["namespace"] = "default"
    backend: Any = KfpBackend((run, manifest))
    assert find_unchanged(backend, ORDER) == ("r1" if found else "")


@pytest.mark.parametrize(("promote", "found"), [("always", "r1"), ("better", "")])
def test_a_model_that_was_refused_may_be_good_enough_by_now(
    promote: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was compared with what the endpoint served then."""
    order = replace(ORDER, arguments={**ORDER.arguments, "promote": promote})
    monkeypatch.setattr("kfdet.kubeflow.earlier.read_json", traces)
    backend: Any = KfpBackend((a_run("r1", **order.arguments), NO_DEPLOYMENT))
    assert find_unchanged(backend, order) == found
