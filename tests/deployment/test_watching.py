from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_cluster import FakeCluster, pod, running

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.deployment import readiness, watching
from kfdet.deployment.endpoint import Release, Serving
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.readiness import SupersededError
from kfdet.deployment.rollout import Options
from kfdet.deployment.watching import Limits, Traffic, promote_in_steps, read_traffic
from kfdet.errors import InputError, KfdetError

FIRST = Release("111111111111", "s3://kfdet/models/toys/111111111111")
SECOND = Release("222222222222", "s3://kfdet/models/toys/222222222222")
TRIAL = Serving(FIRST).with_canary(SECOND, 10)

# as TensorFlow Serving writes it
TEXT = """\
# TYPE :tensorflow:core:graph_runs counter
:tensorflow:core:graph_runs{} 12
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="toys",status="OK"} 8
:tensorflow:serving:request_count{model_name="toys",status="INVALID_ARGUMENT"} 2
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="toys",API="predict",le="10"} 0
:tensorflow:serving:request_latency_sum{model_name="toys",API="predict",entrypoint="REST"} 1.5e+06
:tensorflow:serving:request_latency_count{model_name="toys",API="predict",entrypoint="REST"} 6
:tensorflow:serving:request_latency_sum{model_name="toys",API="predict",entrypoint="GRPC"} 500000
:tensorflow:serving:request_latency_count{model_name="toys",API="predict",entrypoint="GRPC"} 2
"""


def test_the_metrics_of_tensorflow_serving() -> None:
    assert read_traffic(TEXT) == Traffic(10, 2, 8, 2.0)
    assert read_traffic("") == Traffic()


def test_a_counter_that_began_anew() -> None:
    assert Traffic(5, 1, 4, 2).since(Traffic(2, 1, 1, 1)) == Traffic(3, 0, 3, 1)
    assert Traffic(2, 1, 1, 1).since(Traffic(5, 1, 4, 2)) == Traffic(2, 1, 1, 1)


@pytest.mark.parametrize(
    ("traffic", "limits", "reason"),
    [
        (Traffic(), Limits(0, 0.1), ""),
        (Traffic(100, 1, 99, 9), Limits(), ""),
        (Traffic(100, 2, 98, 9), Limits(), r"2 of 100 requests failed \(2.0%, at most 1% may\)"),
        (Traffic(10, 0, 10, 5), Limits(latency=0.4), r"takes 0.50 s on average \(0.4 s"),
    ],
)
def test_limits(traffic: Traffic, limits: Limits, reason: str) -> None:
    found = traffic.violation(limits)
    assert bool(found) == bool(reason)
    if reason:
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(found)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(readiness, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(watching, "INTERVAL_SECONDS", 0.02)
    return FakeCluster()


@pytest.fixture
def cluster(fake: FakeCluster) -> Iterator[Cluster]:
    with running(fake) as connected:
        connected.apply(build("toys", "default", TRIAL, "Standard"))
        yield connected


def asked(fake: FakeCluster, *texts: str, restarts: int = 0) -> None:
    """One pod of the canary, whose metrics change from look to look."""
    remaining = list(texts)

    def look(path: str) -> Any:
        if path.endswith("/pods"):
            crashed = restarts if len(remaining) == 1 else 0
            statuses = [{"ready": True, "restartCount": crashed}]
            predictor = fake.objects["toys"]["spec"]
            stable = predictor["predictor"]["model"]["storageUri"]
            uris = [stable, SECOND.storage_uri] if "canary" in predictor else [stable]
            return 200, {"items": [pod(uri, containerStatuses=statuses) for uri in uris]}
        text = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return 200, text

    handle = fake.handle

    def answered(method: str, url: str, body: Any) -> Any:
        path = url.partition("?")[0]
        if method == "GET" and (path.endswith(("/pods", f":8080/proxy{names.METRICS_PATH}"))):
            return look(path)
        return handle(method, url, body)

    fake.handle = answered  # type: ignore[method-assign]


def count(good: int, bad: int = 0) -> str:
    name = ":tensorflow:serving:request_count"
    return f'{name}{{status="OK"}} {good}\n{name}{{status="INTERNAL"}} {bad}\n'


def steps(cluster: Cluster, *shares: int, limits: Limits = Limits()) -> Serving:  # noqa: B008
    return promote_in_steps(cluster, "toys", shares, 0.1, limits, Options()).serving


def now(fake: FakeCluster) -> Serving:
    return read(fake.objects["toys"]).serving


def test_a_good_canary_moves_on(fake: FakeCluster, cluster: Cluster) -> None:
    asked(fake, *(count(good, bad=5) for good in range(7, 1000)))
    assert steps(cluster, 50, 100) == Serving(SECOND, FIRST), "the 5 failed before it was watched"


@pytest.mark.parametrize(
    ("texts", "restarts", "reason"),
    [
        ((count(7), count(10, 3)), 0, "3 of 6 requests failed"),
        ((count(7), count(9)), 1, "its container in pod pod-1 crashed"),
    ],
)
def test_a_bad_canary_is_ended(
    fake: FakeCluster, cluster: Cluster, texts: tuple[str, ...], restarts: int, reason: str
) -> None:
    asked(fake, *texts, restarts=restarts)
    with pytest.raises(KfdetError, match=f"the canary of toys was ended: {reason}"):
        steps(cluster, 50)
    assert now(fake) == Serving(FIRST)


def test_a_canary_that_nobody_asks_stays(fake: FakeCluster, cluster: Cluster) -> None:
    asked(fake, count(7))
    with pytest.raises(KfdetError, match=r"got no request in .* It keeps its 10%"):
        steps(cluster, 50)
    assert now(fake) == TRIAL


def test_a_canary_of_somebody_else(fake: FakeCluster, cluster: Cluster) -> None:
    texts = iter(range(7, 1000))

    def look(*_: Any) -> str:
        if next(texts) == 8:
            fake.objects["toys"]["spec"].pop("canary")
        return count(1)

    asked(fake, count(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cluster, "metrics_of_pod", look)
        with pytest.raises(SupersededError, match="while its canary was watched"):
            steps(cluster, 50)


def test_no_canary(fake: FakeCluster, cluster: Cluster) -> None:
    cluster.apply(build("toys", "default", Serving(FIRST), "Standard"))
    with pytest.raises(InputError, match="toys has no canary"):
        steps(cluster, 50)
    with pytest.raises(InputError, match="there is no endpoint cups"):
        promote_in_steps(cluster, "cups", [50], 0.1, Limits(), Options())
