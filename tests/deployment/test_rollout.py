from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.fake_cluster import FakeCluster, fields, running

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, Manifest
from kfdet.cluster.parameters import ServingSettings
from kfdet.cluster.refusals import ConflictError
from kfdet.deployment import readiness
from kfdet.deployment.capacity import AUTOSCALER, LEAST, Path, read_capacity, set_fields
from kfdet.deployment.endpoint import Endpoint, Release, Serving
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.readiness import SupersededError
from kfdet.deployment.rollout import (
    Options,
    check_deployment,
    rescale,
    roll_back,
    roll_out,
    share_out,
)
from kfdet.errors import InputError, KfdetError

FIRST = Release("111111111111", "s3://kfdet/models/toys/111111111111", {"AP50": 0.9})
SECOND = Release("222222222222", "s3://kfdet/models/toys/222222222222", {"AP50": 0.95})
THIRD = Release("333333333333", "s3://kfdet/models/toys/333333333333")
OLDER = replace(SECOND, started="2026-01-02T03:04:05.000+00:00")
NEWER = replace(THIRD, started="2026-01-02T03:04:06.000+00:00")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "INTERVAL_SECONDS", 0.01)


@pytest.fixture
def fake() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def cluster(fake: FakeCluster) -> Iterator[Cluster]:
    with running(fake) as connected:
        yield connected


def answers_well(endpoint: Endpoint) -> None:
    assert endpoint.name == "toys-candidate"
    assert endpoint.ready


def deploy(cluster: Cluster, release: Release, canary: int = 0) -> Endpoint:
    current = check_deployment(cluster, "toys", canary)
    return roll_out(cluster, "toys", current, release, Options(canary), answers_well)


def changes(fake: FakeCluster) -> list[tuple[str, str]]:
    return [request for request in fake.requests if request[0] != "GET"]


def serving_now(fake: FakeCluster) -> Serving:
    return read(fake.objects["toys"]).serving


def test_the_candidate_comes_before_the_endpoint(fake: FakeCluster, cluster: Cluster) -> None:
    served = deploy(cluster, FIRST)
    assert changes(fake) == [
        ("dry run", "toys"),
        ("PATCH", "toys-candidate"),
        ("DELETE", "toys-candidate"),
        ("PATCH", "toys"),
    ]
    assert served.serving == serving_now(fake) == Serving(FIRST)
    assert served.ready


def test_the_version_before_is_kept_and_comes_back_twice(
    fake: FakeCluster, cluster: Cluster
) -> None:
    deploy(cluster, FIRST)
    assert deploy(cluster, SECOND).serving == Serving(SECOND, FIRST)
    assert roll_back(cluster, "toys", Options(), answers_well).serving == Serving(FIRST, SECOND)
    assert roll_back(cluster, "toys", Options(), answers_well).serving == Serving(SECOND, FIRST)
    assert list(fake.objects) == ["toys"]


def test_the_same_version_again_needs_no_candidate(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    fake.requests.clear()
    assert deploy(cluster, FIRST).serving == Serving(FIRST)
    assert changes(fake) == [("PATCH", "toys")]


def test_the_same_version_from_a_later_run_changes_no_annotation(
    fake: FakeCluster, cluster: Cluster
) -> None:
    """KServe copies them to the pods, which would restart; the later start is in the status."""
    deploy(cluster, OLDER)
    before = fake.objects["toys"]["metadata"]["annotations"]
    again = replace(OLDER, started=NEWER.started, run="another", metrics={"AP50": 0.91})
    assert deploy(cluster, again).serving == Serving(OLDER)
    assert fake.objects["toys"]["metadata"]["annotations"] == before
    found = check_deployment(cluster, "toys", 0)
    assert found
    assert found.newest == replace(OLDER, started=NEWER.started)
    assert found.serving.stable == OLDER, "which is what the next change of the endpoint applies"


def test_the_same_version_in_another_bucket_is_tried(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    fake.requests.clear()
    moved = replace(FIRST, storage_uri="s3://other/toys/111111111111")
    assert deploy(cluster, moved).serving == serving_now(fake) == Serving(moved)
    assert ("PATCH", "toys-candidate") in changes(fake)


def test_a_candidate_that_does_not_start(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    before = fake.objects["toys"]
    fake.broken[SECOND.storage_uri] = "no such image"
    with pytest.raises(KfdetError, match=r"toys-candidate is not ready: .*no such image"):
        deploy(cluster, SECOND)
    assert fake.objects == {"toys": before}


def test_a_candidate_that_answers_badly(fake: FakeCluster, cluster: Cluster) -> None:
    def blind(endpoint: Endpoint) -> None:
        raise KfdetError(f"{endpoint.name} sees nothing")

    with pytest.raises(KfdetError, match="toys-candidate sees nothing"):
        roll_out(cluster, "toys", None, FIRST, Options(), blind)
    assert fake.objects == {}


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_ended_while_the_candidate_is_made(
    fake: FakeCluster,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    end: type[BaseException],
) -> None:
    apply = Cluster.apply

    def ended(self: Cluster, manifest: Manifest, **how: bool) -> Manifest:
        applied = apply(self, manifest, **how)
        if manifest["metadata"]["name"] == "toys-candidate":
            raise end
        return applied

    monkeypatch.setattr(Cluster, "apply", ended)
    with pytest.raises(end):
        deploy(cluster, FIRST)
    assert fake.objects == {}


def test_a_switch_that_fails_is_undone(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)

    def breaks(manifest: Manifest) -> None:
        if manifest["metadata"]["name"] == "toys":
            fake.broken[SECOND.storage_uri] = "the node is full"

    fake.after_apply = breaks
    with pytest.raises(
        KfdetError, match=r"the node is full.* serves version 111111111111 as before"
    ):
        deploy(cluster, SECOND)
    assert serving_now(fake) == Serving(FIRST)


def test_a_first_version_that_fails_leaves_nothing(fake: FakeCluster, cluster: Cluster) -> None:
    def breaks(manifest: Manifest) -> None:
        if manifest["metadata"]["name"] == "toys":
            fake.broken[FIRST.storage_uri] = "the node is full"

    fake.after_apply = breaks
    with pytest.raises(KfdetError, match="toys was deleted again"):
        deploy(cluster, FIRST)
    assert fake.objects == {}


def test_going_back_to_a_version_that_is_gone(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    deploy(cluster, SECOND)
    fake.broken[FIRST.storage_uri] = "NoSuchKey"
    with pytest.raises(KfdetError, match=r"toys-candidate is not ready: .*NoSuchKey"):
        roll_back(cluster, "toys", Options(), answers_well)
    assert serving_now(fake) == Serving(SECOND, FIRST)


def test_what_somebody_else_deploys_meanwhile_stays(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)

    def overtakes(manifest: Manifest) -> None:
        if manifest["metadata"]["name"] == "toys":
            fake.objects["toys"] = build("toys", "default", Serving(THIRD), "Standard")

    fake.after_apply = overtakes
    with pytest.raises(KfdetError, match="Somebody else deploys version 333333333333"):
        deploy(cluster, SECOND)
    assert serving_now(fake) == Serving(THIRD)


@pytest.mark.parametrize("first", [None, FIRST])
def test_who_is_slower_does_not_take_the_others_version_away(
    fake: FakeCluster, cluster: Cluster, first: Release | None
) -> None:
    """Both look at the endpoint before either has switched it."""
    if first:
        deploy(cluster, first)
    found = check_deployment(cluster, "toys", 0)
    quicker = deploy(cluster, SECOND)
    with pytest.raises(SupersededError, match="meanwhile: it serves version 222222222222"):
        roll_out(cluster, "toys", found, THIRD, Options(), answers_well)
    assert serving_now(fake) == quicker.serving == Serving(SECOND, first)
    assert list(fake.objects) == ["toys"]


@pytest.mark.parametrize("first", [None, FIRST])
def test_who_is_slower_by_the_time_of_a_request(
    fake: FakeCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, first: Release | None
) -> None:
    """The other one switches after the last look at the endpoint."""
    if first:
        deploy(cluster, first)
    theirs = build("toys", "default", Serving(SECOND, first), "Standard")
    apply = Cluster.apply

    def overtaken(self: Cluster, manifest: Manifest, **how: bool) -> Manifest:
        if manifest["metadata"]["name"] == "toys" and not how.get("dry_run"):
            fake.objects["toys"] = theirs
        return apply(self, manifest, **how)

    monkeypatch.setattr(Cluster, "apply", overtaken)
    with pytest.raises(SupersededError, match="meanwhile: it serves version 222222222222"):
        deploy(cluster, THIRD)
    assert serving_now(fake) == Serving(SECOND, first)


# --- of two runs the one that was started later ---


def test_an_older_run_waits_for_the_candidate_of_a_newer_one(
    fake: FakeCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(build("toys-candidate", "default", Serving(NEWER), "Standard"))
    get, looks = Cluster.get, list[str]()

    def ends_after_two_looks(self: Cluster, name: str) -> Manifest | None:
        found = get(self, name)
        looks.append(name)
        if looks.count("toys-candidate") == 2:
            fake.objects["toys"] = build("toys", "default", Serving(NEWER), "Standard")
            fake.objects.pop("toys-candidate", None)
        return found

    monkeypatch.setattr(Cluster, "get", ends_after_two_looks)
    with pytest.raises(SupersededError, match="Version 333333333333, of a newer run"):
        deploy(cluster, OLDER)
    assert looks.count("toys-candidate") == 3
    assert serving_now(fake) == Serving(NEWER)


def test_what_a_killed_deployment_left_is_taken_over_in_the_end(
    fake: FakeCluster, cluster: Cluster
) -> None:
    cluster.apply(build("toys-candidate", "default", Serving(NEWER), "Standard"))
    roll_out(cluster, "toys", None, OLDER, Options(timeout=0.2), answers_well)
    assert serving_now(fake) == Serving(OLDER)
    assert list(fake.objects) == ["toys"]


def test_a_newer_run_takes_the_place_of_an_older_candidate(
    fake: FakeCluster, cluster: Cluster
) -> None:
    cluster.apply(build("toys-candidate", "default", Serving(OLDER), "Standard"))
    assert deploy(cluster, NEWER).serving == Serving(NEWER)


def test_a_candidate_that_was_replaced_while_it_was_asked(
    fake: FakeCluster, cluster: Cluster
) -> None:
    def interrupted(endpoint: Endpoint) -> None:
        theirs = build("toys-candidate", "default", Serving(NEWER), "Standard")
        fake.objects["toys-candidate"] = theirs
        raise KfdetError("no answer")

    with pytest.raises(SupersededError, match="took the candidate's place"):
        roll_out(cluster, "toys", None, OLDER, Options(), interrupted)
    assert list(fake.objects) == ["toys-candidate"]


def test_when_a_run_was_started_survives_in_the_cluster(
    fake: FakeCluster, cluster: Cluster
) -> None:
    deploy(cluster, OLDER)
    assert deploy(cluster, NEWER).serving == serving_now(fake) == Serving(NEWER, OLDER)
    assert fake.objects["toys"]["metadata"]["annotations"][names.STARTED] == NEWER.started


def test_a_new_status_does_not_stop_a_switch(
    fake: FakeCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(cluster, FIRST)
    apply, statuses = Cluster.apply, [1, 2, 3]

    def touched(self: Cluster, manifest: Manifest, **how: bool) -> Manifest:
        if manifest["metadata"]["name"] == "toys" and not how.get("dry_run") and statuses:
            statuses.pop()
            fake.touch("toys")
        return apply(self, manifest, **how)

    monkeypatch.setattr(Cluster, "apply", touched)
    assert deploy(cluster, SECOND).serving == serving_now(fake) == Serving(SECOND, FIRST)
    statuses += range(100)
    with pytest.raises(ConflictError, match="changes too often"):
        deploy(cluster, THIRD)
    assert serving_now(fake) == Serving(SECOND, FIRST)


def test_an_answer_that_was_lost(
    fake: FakeCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated with the resourceVersion from before it was done."""
    deploy(cluster, FIRST)
    apply, lost = Cluster.apply, ["toys"]

    def repeated(self: Cluster, manifest: Manifest, **how: bool) -> Manifest:
        if manifest["metadata"]["name"] in lost and not how.get("dry_run"):
            apply(self, manifest, **how)
            lost.clear()
        return apply(self, manifest, **how)

    monkeypatch.setattr(Cluster, "apply", repeated)
    assert deploy(cluster, SECOND).serving == serving_now(fake) == Serving(SECOND, FIRST)


def test_what_somebody_else_shares_meanwhile_is_not_undone(
    fake: FakeCluster, cluster: Cluster
) -> None:
    deploy(cluster, FIRST)
    theirs = build("toys", "default", Serving(SECOND, FIRST).with_canary(THIRD, 5), "Standard")

    def overtakes(manifest: Manifest) -> None:
        if manifest["metadata"]["name"] == "toys":
            fake.broken[SECOND.storage_uri] = "the node is full"
            fake.objects["toys"] = theirs

    fake.after_apply = overtakes
    with pytest.raises(KfdetError, match=r"the node is full.* with 5% 333333333333"):
        deploy(cluster, SECOND)
    assert fake.objects["toys"] is theirs


def test_one_that_is_being_deleted_is_none(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    fake.objects["toys"]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert deploy(cluster, SECOND).serving == serving_now(fake) == Serving(SECOND)


def test_the_others_candidate_is_not_deleted(fake: FakeCluster, cluster: Cluster) -> None:
    def overtakes(manifest: Manifest) -> None:
        theirs = build("toys-candidate", "default", Serving(SECOND), "Standard")
        fake.objects["toys-candidate"] = theirs

    fake.after_apply = overtakes
    with pytest.raises(KfdetError, match="Somebody else deploys"):
        deploy(cluster, FIRST)
    assert list(fake.objects) == ["toys-candidate"]


def test_a_leftover_candidate_is_taken_over(fake: FakeCluster, cluster: Cluster) -> None:
    cluster.apply(build("toys-candidate", "default", Serving(SECOND), "Standard"))
    assert deploy(cluster, FIRST).serving == Serving(FIRST)
    assert list(fake.objects) == ["toys"]


def test_somebody_elses_service_is_left_alone(fake: FakeCluster, cluster: Cluster) -> None:
    manifest = build("toys", "default", Serving(FIRST), "Standard")
    manifest["metadata"]["labels"] = {}
    fake.objects["toys"] = manifest
    with pytest.raises(InputError, match="was not created by kfdet"):
        deploy(cluster, SECOND)
    with pytest.raises(InputError, match="there is no endpoint toys"):
        roll_back(cluster, "toys", Options(), answers_well)
    assert changes(fake) == []


def without(field: str) -> dict[str, Any]:
    """An API whose InferenceServices have no such field of a predictor."""
    predictor = {"properties": {"model": {}}}
    spec = {"properties": {"predictor": predictor}}
    kind = {"kind": "InferenceService"}
    schema = {"x-kubernetes-group-version-kind": [kind], "properties": {"spec": spec}}
    assert field not in predictor["properties"]
    return {"components": {"schemas": {"InferenceService": schema}}}


MODES = [
    (True, False, "Standard"),
    (True, True, "Knative"),
    (False, False, "RawDeployment"),
    (False, True, "Serverless"),
]


@pytest.mark.parametrize(("newer", "knative", "mode"), MODES)
def test_plain_deployments_unless_somebody_asks_for_knative(
    fake: FakeCluster, cluster: Cluster, newer: bool, knative: bool, mode: str
) -> None:
    """Whatever the cluster's default is, in the words of its KServe."""
    fake.groups.add("serving.knative.dev")
    fake.mode = mode
    if not newer:
        answer = (200, without("storageUris"))
        fake.answers["GET", "/openapi/v3/apis/serving.kserve.io/v1beta1"] = answer
    options = Options(serving=ServingSettings(knative=knative))
    roll_out(cluster, "toys", None, FIRST, options, answers_well)
    for applied in fake.applied:
        assert applied["metadata"]["annotations"][names.MODE] == mode
    deploy(cluster, SECOND)
    assert fake.objects["toys"]["metadata"]["annotations"][names.MODE] == mode


def test_knative_where_there_is_none(fake: FakeCluster, cluster: Cluster) -> None:
    options = Options(serving=ServingSettings(knative=True))
    with pytest.raises(InputError, match="has no Knative"):
        roll_out(cluster, "toys", None, FIRST, options, answers_well)
    deploy(cluster, FIRST)
    current = check_deployment(cluster, "toys", 0)
    with pytest.raises(InputError, match="toys is run as a plain Deployment"):
        roll_out(cluster, "toys", current, SECOND, options, answers_well)


def test_rollback_tries_the_previous_version_first(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    deploy(cluster, SECOND)

    def blind(endpoint: Endpoint) -> None:
        assert endpoint.serving.stable.version == FIRST.version
        raise KfdetError(f"{endpoint.name} sees nothing")

    with pytest.raises(KfdetError, match="toys-candidate sees nothing"):
        roll_back(cluster, "toys", Options(), blind)
    assert serving_now(fake) == Serving(SECOND, FIRST)


def test_a_rollback_uses_todays_runtime(fake: FakeCluster, cluster: Cluster) -> None:
    old = replace(FIRST, runtime="older")
    cluster.apply(build("toys", "default", Serving(SECOND, old), "Standard"))
    assert serving_now(fake).previous == old
    assert roll_back(cluster, "toys", Options(), answers_well).serving.stable == FIRST


def test_the_same_version_keeps_its_runtime(fake: FakeCluster, cluster: Cluster) -> None:
    """A new one is tried beside the endpoint first, with the next version."""
    old = replace(FIRST, runtime="older")
    cluster.apply(build("toys", "default", Serving(old), "Standard"))
    assert deploy(cluster, FIRST).serving.stable == old
    assert fake.objects["toys"]["spec"]["predictor"]["model"]["runtime"] == "older"


# --- replicas and resources ---


def predictor(fake: FakeCluster) -> Manifest:
    found: Manifest = fake.objects["toys"]["spec"]["predictor"]
    return found


def by_hand(fake: FakeCluster, path: Path, value: Any) -> None:
    """Set a field as `kubectl edit` does: it belongs to that manager from then on."""
    manifest = json.loads(json.dumps(fake.objects["toys"]))
    set_fields(manifest, {path: value})
    own, *others = manifest["metadata"]["managedFields"]
    place = own["fieldsV1"]
    for step in path[:-1]:
        place = place.get(f"f:{step}", {})
    place.pop(f"f:{path[-1]}", None)
    theirs: Manifest = {}
    set_fields(theirs, {path: value})
    entry = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields(theirs)}
    manifest["metadata"]["managedFields"] = [own, *others, entry]
    fake.objects["toys"] = manifest


def test_what_was_asked_for_stays(fake: FakeCluster, cluster: Cluster) -> None:
    asked = ServingSettings(replicas="2-5", scale_target=60, serving_cpu="2", serving_memory="3Gi")
    roll_out(cluster, "toys", None, FIRST, Options(serving=asked), answers_well)
    for _ in range(2):
        assert fake.objects["toys"]["metadata"]["annotations"][names.AUTOSCALER] == "hpa"
        assert predictor(fake)["minReplicas"] == 2
        assert predictor(fake)["maxReplicas"] == 5
        assert predictor(fake)["scaleTarget"] == 60
        assert predictor(fake)["model"]["resources"] == {
            "requests": {"cpu": "2", "memory": "3Gi"},
            "limits": {"memory": "3Gi"},
        }
        deploy(cluster, SECOND)
    candidate = next(m for m in fake.applied if m["metadata"]["name"] == "toys-candidate")
    assert candidate["metadata"]["annotations"][names.AUTOSCALER] == "none"
    assert "minReplicas" not in candidate["spec"]["predictor"]
    assert candidate["spec"]["predictor"]["model"]["resources"]["requests"]["memory"] == "3Gi"


def test_a_fixed_number_again(fake: FakeCluster, cluster: Cluster) -> None:
    options = Options(serving=ServingSettings(replicas="2-5", scale_target=60))
    roll_out(cluster, "toys", None, FIRST, options, answers_well)
    rescale(cluster, "toys", Options(serving=ServingSettings(replicas="3")))
    assert fake.objects["toys"]["metadata"]["annotations"][names.AUTOSCALER] == "none"
    assert predictor(fake)["minReplicas"] == 3
    assert not {"maxReplicas", "scaleTarget"} & set(predictor(fake))
    assert serving_now(fake) == Serving(FIRST)


@pytest.mark.parametrize("asked", ["", "1"])
@pytest.mark.parametrize(("path", "value"), [(AUTOSCALER, "hpa"), (AUTOSCALER, "keda"), (LEAST, 4)])
def test_what_an_administrator_sets_stays(
    fake: FakeCluster, cluster: Cluster, path: Path, value: Any, asked: str
) -> None:
    options = Options(serving=ServingSettings(replicas=asked))
    roll_out(cluster, "toys", None, FIRST, options, answers_well)
    by_hand(fake, path, value)
    fake.applied.clear()
    current = check_deployment(cluster, "toys", 0)
    roll_out(cluster, "toys", current, SECOND, options, answers_well)
    applied = read_capacity({**fake.applied[-1], **{"metadata": fake.objects["toys"]["metadata"]}})
    assert path not in applied.own, "server-side apply leaves what is not applied"
    if asked:
        by_hand(fake, path, value)
        forced = replace(options, force=True)
        rescale(cluster, "toys", forced)
        wanted = {AUTOSCALER: "none", LEAST: 1}[path]
        assert check_deployment(cluster, "toys", 0).capacity.own[path] == wanted  # type: ignore[union-attr]


def test_nodes_are_drained_of_one_pod_at_a_time(
    fake: FakeCluster, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(cluster, FIRST)
    assert not fake.budgets
    rescale(cluster, "toys", Options(serving=ServingSettings(replicas="2")))
    budget = fake.budgets["toys"]
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"serving.kserve.io/inferenceservice": "toys"}},
    }
    assert budget["metadata"]["ownerReferences"][0]["uid"] == "uid-of-toys"
    rescale(cluster, "toys", Options(serving=ServingSettings(replicas="1")))
    assert not fake.budgets, "with one pod, it would not protect anything"
    rescale(cluster, "toys", Options(serving=ServingSettings(replicas="2")))
    fake.budgets.clear()  # by hand
    rescale(cluster, "toys", Options(serving=ServingSettings(replicas="1")))
    fake.answers["PATCH", "/poddisruptionbudgets/toys"] = (403, {"message": "forbidden"})
    served = rescale(cluster, "toys", Options(serving=ServingSettings(replicas="2")))
    assert served.capacity.least_pods == 2
    assert "PodDisruptionBudget of toys could not be changed" in caplog.text


def test_a_switch_that_fails_restores_the_replicas(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)

    def breaks(manifest: Manifest) -> None:
        if manifest["metadata"]["name"] == "toys":
            fake.broken[SECOND.storage_uri] = "the node is full"

    fake.after_apply = breaks
    current = check_deployment(cluster, "toys", 0)
    options = Options(serving=ServingSettings(replicas="3"))
    with pytest.raises(KfdetError, match="serves version 111111111111 as before"):
        roll_out(cluster, "toys", current, SECOND, options, answers_well)
    assert "minReplicas" not in predictor(fake)


# --- canary ---


@pytest.fixture
def gateway(fake: FakeCluster) -> None:
    fake.groups.add("gateway.networking.k8s.io")
    settings = {"data": {"ingress": '{"enableGatewayApi": true}'}}
    fake.answers["GET", "/configmaps/inferenceservice-config"] = (200, settings)
    schemas = {"components": {"schemas": {}}}
    fake.answers["GET", "/openapi/v3/apis/serving.kserve.io/v1beta1"] = (200, schemas)


@pytest.mark.usefixtures("gateway")
def test_a_canary_comes_and_goes(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    trial = deploy(cluster, SECOND, canary=10)
    assert trial.serving == Serving(FIRST).with_canary(SECOND, 10)
    assert fake.objects["toys"]["spec"]["canary"][0]["trafficPercent"] == 10
    assert roll_back(cluster, "toys", Options(), answers_well).serving == Serving(FIRST)
    assert "canary" not in fake.objects["toys"]["spec"]
    deploy(cluster, SECOND, canary=10)
    assert deploy(cluster, SECOND).serving == Serving(SECOND, FIRST)


def test_a_canary_of_knative(fake: FakeCluster, cluster: Cluster) -> None:
    fake.groups.add("serving.knative.dev")
    fake.mode = "Knative"
    deploy(cluster, FIRST)
    deploy(cluster, SECOND, canary=25)
    predictor = fake.objects["toys"]["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 25
    assert predictor["model"]["storageUri"] == SECOND.storage_uri


def test_the_first_version_gets_all(fake: FakeCluster, cluster: Cluster) -> None:
    assert deploy(cluster, FIRST, canary=10).serving == Serving(FIRST)


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ("group", "there is no Gateway API"),
        ("setting", "enableGatewayApi is false"),
        ("field", "older than 0.20"),
    ],
)
def test_where_requests_cannot_be_shared_nothing_is_applied(
    fake: FakeCluster, cluster: Cluster, lacks: str, reason: str
) -> None:
    deploy(cluster, FIRST)
    if lacks == "group":
        fake.groups.remove("gateway.networking.k8s.io")
    elif lacks == "setting":
        settings = {"data": {"ingress": '{"enableGatewayApi": false}'}}
        fake.answers["GET", "/configmaps/inferenceservice-config"] = (200, settings)
    else:
        kind = {"kind": "InferenceService"}
        spec = {"properties": {"spec": {"properties": {"predictor": {}}}}}
        document = {**spec, "x-kubernetes-group-version-kind": [kind]}
        answer = (200, {"components": {"schemas": {"isvc": document}}})
        fake.answers["GET", "/openapi/v3/apis/serving.kserve.io/v1beta1"] = answer
    before = changes(fake)
    with pytest.raises(InputError, match=reason):
        deploy(cluster, SECOND, canary=10)
    assert changes(fake) == before


@pytest.mark.parametrize("percent", [-1, 100])
def test_no_share(cluster: Cluster, percent: int) -> None:
    with pytest.raises(InputError, match="--canary-percent must be 0 to 99, got"):
        check_deployment(cluster, "toys", percent)


@pytest.mark.usefixtures("gateway")
def test_a_canary_moves_on(fake: FakeCluster, cluster: Cluster) -> None:
    deploy(cluster, FIRST)
    deploy(cluster, SECOND, canary=10)
    stable = json.dumps([fake.objects["toys"]["spec"]["predictor"], annotations(fake)])
    half = share_out(cluster, "toys", 50, Options())
    assert half.serving == Serving(FIRST).with_canary(SECOND, 50)
    same = json.dumps([fake.objects["toys"]["spec"]["predictor"], annotations(fake)])
    assert same == stable, "or the stable pods would be restarted"
    assert share_out(cluster, "toys", 100, Options()).serving == Serving(SECOND, FIRST)
    with pytest.raises(InputError, match="toys has no canary"):
        share_out(cluster, "toys", 50, Options())


def annotations(fake: FakeCluster) -> Any:
    return fake.objects["toys"]["metadata"]["annotations"]
