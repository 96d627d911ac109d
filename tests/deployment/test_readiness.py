from __future__ import annotations

from typing import Any

import pytest
from support.fake_cluster import FakeCluster, pod, ready_status, running

from kfdet.cluster.api import Manifest
from kfdet.deployment import readiness
from kfdet.deployment.endpoint import Release, Serving
from kfdet.deployment.inference_service import build
from kfdet.deployment.readiness import SupersededError, judge, wait_until_ready
from kfdet.errors import KfdetError

URI, OLD = "s3://kfdet/models/toys/2", "s3://kfdet/models/toys/1"


def service(**status: Any) -> Manifest:
    return {
        "metadata": {"name": "toys"},
        "spec": {"predictor": {}},
        "status": {**ready_status("toys"), **status},
    }


def container(name: str = "kserve-container", **fields: Any) -> Manifest:
    return {"name": name, "image": "registry/image:1", **fields}


def waiting(reason: str, message: str = "", **last: Any) -> Manifest:
    return {"state": {"waiting": {"reason": reason, "message": message}}, "lastState": last}


ENDED = {"exitCode": 1, "reason": "Error", "message": "one\n\ntwo\nthree\nfour.\n"}
TRACEBACK = """  File "storage_errors.py", line 43, in raise_storage_error
    raise RuntimeError(error_msg) from error
RuntimeError: S3 error [403]: Forbidden
"""  # its beginning is cut off
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
}

BLOCKED: dict[str, tuple[Manifest, str]] = {
    "unschedulable": (
        pod(URI, conditions=[UNSCHEDULABLE]),
        "the pod cannot be scheduled: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
    ),
    "image": (
        pod(
            URI,
            ready=False,
            containerStatuses=[container(**waiting("ImagePullBackOff", "Back-off pulling image"))],
        ),
        "the image registry/image:1 of container kserve-container cannot be pulled "
        "(ImagePullBackOff): Back-off pulling image",
    ),
    "secret": (
        pod(
            URI,
            ready=False,
            initContainerStatuses=[
                container(
                    "storage-initializer",
                    **waiting("CreateContainerConfigError", 'secret "kfdet-storage" not found'),
                )
            ],
        ),
        "container storage-initializer cannot be started (CreateContainerConfigError): "
        'secret "kfdet-storage" not found',
    ),
    "storage": (
        pod(
            URI,
            ready=False,
            initContainerStatuses=[
                container(
                    "storage-initializer", **waiting("CrashLoopBackOff", "", terminated=ENDED)
                )
            ],
            containerStatuses=[container(**waiting("PodInitializing"))],
        ),
        f"the model cannot be fetched from {URI}: two / three / four",
    ),
    "crash": (
        pod(
            URI,
            ready=False,
            containerStatuses=[container(**waiting("CrashLoopBackOff", "", terminated=ENDED))],
        ),
        "container kserve-container ends with exit status 1: two / three / four",
    ),
    "Python": (
        pod(
            URI,
            ready=False,
            initContainerStatuses=[
                container(
                    "storage-initializer",
                    **waiting("CrashLoopBackOff", "", terminated={**ENDED, "message": TRACEBACK}),
                )
            ],
        ),
        f"the model cannot be fetched from {URI}: RuntimeError: S3 error [403]: Forbidden",
    ),
    "crash without a word": (
        pod(
            URI,
            ready=False,
            containerStatuses=[
                container(**waiting("CrashLoopBackOff", "", terminated={"exitCode": 3}))
            ],
        ),
        "container kserve-container ends with exit status 3: it left no message",
    ),
    "memory": (
        pod(
            URI,
            ready=False,
            containerStatuses=[
                container(state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
            ],
        ),
        "container kserve-container was killed: it needs more memory than its limit",
    ),
    "evicted": (
        pod(
            URI, ready=False, phase="Failed", reason="Evicted", message="low on ephemeral-storage."
        ),
        "the pod failed: Evicted low on ephemeral-storage",
    ),
}


@pytest.mark.parametrize(("one", "reason"), BLOCKED.values(), ids=BLOCKED)
def test_the_pods_own_reason(one: Manifest, reason: str) -> None:
    # The old pod still serves, so that KServe says that all is well.
    state = judge(service(), [pod(OLD), one], URI)
    assert (state.kind, state.reason) == ("blocked", reason)
    assert state.hint


NOT_READY = [{"type": "Ready", "status": "False"}]
WITHOUT_PODS: dict[str, tuple[Manifest, str, str]] = {
    "new": ({"metadata": {"name": "toys"}}, "blocked", "KServe has not processed it"),
    "no runtime": (
        service(
            conditions=NOT_READY,
            modelStatus={
                "transitionStatus": "InvalidSpec",
                "lastFailureInfo": {
                    "reason": "RuntimeNotRecognized",
                    "message": "Specified runtime not found.",
                },
            },
        ),
        "blocked",
        "KServe refuses it (RuntimeNotRecognized): Specified runtime not found",
    ),
    "no service account": (
        service(
            conditions=[
                *NOT_READY,
                {
                    "type": "PredictorReady",
                    "status": "False",
                    "reason": "FailedCreate",
                    "message": 'serviceaccount "kfdet-serving" not found',
                },
            ]
        ),
        "blocked",
        'PredictorReady is False (FailedCreate): serviceaccount "kfdet-serving" not found',
    ),
    "soon": (service(conditions=NOT_READY), "waiting", "waiting for a pod"),
}


@pytest.mark.parametrize(("manifest", "kind", "reason"), WITHOUT_PODS.values(), ids=WITHOUT_PODS)
def test_without_a_pod(manifest: Manifest, kind: str, reason: str) -> None:
    state = judge(manifest, [], URI)
    assert (state.kind, state.reason) == (kind, reason)


FETCHING = pod(
    URI,
    ready=False,
    initContainerStatuses=[container("storage-initializer", state={"running": {}})],
)
ENDING = pod(OLD)
ENDING["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
BY_ARGUMENT = {
    "metadata": {"name": "pod-1"},
    "spec": {"initContainers": [{"name": "storage-initializer", "args": [URI, "/mnt/models"]}]},
    "status": pod(URI)["status"],
}


def scaled_to_zero() -> Manifest:
    manifest = service(deploymentMode="Knative")
    manifest["spec"]["predictor"]["minReplicas"] = 0
    return manifest


def canary() -> Manifest:
    manifest = service()
    manifest["spec"]["canary"] = [{"trafficPercent": 10}]
    return manifest


STATES: dict[str, tuple[Manifest, list[Manifest], str, str]] = {
    "ready": (service(), [pod(URI)], "ready", ""),
    "ready by the fetching container": (service(), [BY_ARGUMENT], "ready", ""),
    "old pod is ending": (service(), [pod(URI), ENDING], "ready", ""),
    "old pod answers": (
        service(),
        [pod(URI), pod(OLD)],
        "waiting",
        "the pod of the previous version is ending",
    ),
    "old revision of Knative": (
        service(deploymentMode="Knative"),
        [pod(URI), pod(OLD)],
        "ready",
        "",
    ),
    "only the old pod": (service(), [pod(OLD)], "waiting", "waiting for a pod"),
    "fetching": (service(), [pod(OLD), FETCHING], "waiting", "fetching the model"),
    "loading": (service(), [pod(URI, ready=False)], "waiting", "loading the model"),
    "no route": (
        service(conditions=[*NOT_READY, {"type": "IngressReady", "status": "Unknown"}]),
        [pod(URI)],
        "waiting",
        "waiting for Ready, IngressReady",
    ),
    "scaled to zero": (scaled_to_zero(), [], "ready", ""),
    "canary": (canary(), [pod(URI), pod(OLD)], "ready", ""),
    "canary is missing": (canary(), [pod(OLD)], "waiting", "waiting for a pod"),
}


@pytest.mark.parametrize(("manifest", "pods", "kind", "reason"), STATES.values(), ids=STATES)
def test_states(manifest: Manifest, pods: list[Manifest], kind: str, reason: str) -> None:
    state = judge(manifest, pods, URI)
    assert (state.kind, state.reason) == (kind, reason)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "INTERVAL_SECONDS", 0.01)


RELEASE = Release("2", URI)


def deployed(fake: FakeCluster) -> None:
    fake.handle(
        "PATCH", "/x/inferenceservices/toys", build("toys", "default", Serving(RELEASE), "Standard")
    )


@pytest.mark.usefixtures("quick")
def test_a_hopeless_pod_ends_the_wait_at_once() -> None:
    fake, notes = FakeCluster(), []
    deployed(fake)
    fake.broken[URI] = "not on this node"
    with (
        running(fake) as cluster,
        pytest.raises(KfdetError, match=r"toys is not ready: the image x:1 .* not on this node"),
    ):
        wait_until_ready(cluster, "toys", "2", URI, 60, notes.append)
    assert len(notes) == 1


@pytest.mark.usefixtures("quick")
def test_the_time_is_up() -> None:
    fake = FakeCluster()
    deployed(fake)
    with (
        running(fake) as cluster,
        pytest.raises(KfdetError, match="toys is not ready after 0 s: waiting for a pod"),
    ):
        wait_until_ready(cluster, "toys", "2", "s3://kfdet/other", 0.05, lambda note: None)


@pytest.mark.usefixtures("quick")
def test_somebody_deploys_at_the_same_time_or_deletes() -> None:
    fake = FakeCluster()
    deployed(fake)
    with running(fake) as cluster:
        with pytest.raises(SupersededError, match="Somebody else deploys version 2 as toys"):
            wait_until_ready(cluster, "toys", "3", URI, 60, lambda note: None)
        fake.objects.clear()
        with pytest.raises(KfdetError, match="Somebody has deleted toys"):
            wait_until_ready(cluster, "toys", "2", URI, 60, lambda note: None)


@pytest.mark.usefixtures("quick")
def test_a_short_outage_of_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from kfdet.cluster.api import Cluster
    from kfdet.cluster.refusals import ClusterUnreachableError

    fake = FakeCluster()
    deployed(fake)
    get, failures = (
        Cluster.get,
        iter([ClusterUnreachableError("away"), ClusterUnreachableError("away")]),
    )

    def flaky(self: Cluster, name: str) -> Manifest | None:
        for failure in failures:
            raise failure
        return get(self, name)

    monkeypatch.setattr(Cluster, "get", flaky)
    with running(fake) as cluster:
        assert wait_until_ready(cluster, "toys", "2", URI, 60, lambda note: None)
        monkeypatch.setattr(readiness, "_OUTAGE_SECONDS", 0)
        failures = iter([ClusterUnreachableError("away")])
        with pytest.raises(ClusterUnreachableError):
            wait_until_ready(cluster, "toys", "2", URI, 60, lambda note: None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("end", ["/toys", "/pods"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_one_passing_refusal(monkeypatch: pytest.MonkeyPatch, end: str, status: int) -> None:
    fake = FakeCluster()
    deployed(fake)
    handle, refusals = fake.handle, [(status, {"message": "etcdserver: leader changed"})]

    def flaky(method: str, url: str, body: Any) -> Any:
        if url.partition("?")[0].endswith(end) and refusals:
            return refusals.pop()
        return handle(method, url, body)

    monkeypatch.setattr(fake, "handle", flaky)
    with running(fake) as cluster:
        assert wait_until_ready(cluster, "toys", "2", URI, 60, lambda note: None)
    assert refusals == []
