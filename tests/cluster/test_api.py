"""The API server's refusals in clear words; the bodies are those of a Kubernetes 1.34."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.fake_cluster import FakeCluster, running

from kfdet.cluster import names
from kfdet.cluster.connection import connect, connect_to_deploy
from kfdet.cluster.refusals import ClusterUnreachableError
from kfdet.deployment.endpoint import Release, Serving
from kfdet.deployment.inference_service import build
from kfdet.errors import InputError, KfdetError

MANIFEST = build("toys", "default", Serving(Release("1", "s3://kfdet/models/toys/1")), "Standard")
FORBIDDEN = {
    "reason": "Forbidden",
    "message": 'inferenceservices.serving.kserve.io "toys" is forbidden: User "x" cannot patch',
    "details": {"name": "toys", "kind": "inferenceservices"},
}
CONFLICT = {
    "reason": "Conflict",
    "message": "Apply failed with 1 conflict",
    "details": {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-edit" using serving.kserve.io/v1beta1',
                "field": ".spec.predictor.model.storageUri",
            }
        ]
    },
}
WEBHOOK = {
    "reason": "InternalError",
    "message": 'failed calling webhook "inferenceservice.kserve-webhook-server.defaulter": ...',
}
DENIED = {
    "reason": "BadRequest",
    "message": 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the '
    "request: canary is only supported in Standard deployment mode",
}

REFUSALS: dict[str, tuple[int, Any, type[KfdetError], str]] = {
    "no CRD": (
        404,
        "404 page not found\n",
        InputError,
        r"does not know InferenceServices .*KServe",
    ),
    "no namespace": (
        404,
        {"reason": "NotFound", "details": {"name": "default", "kind": "namespaces"}},
        InputError,
        r"there is no namespace default\. .*-n",
    ),
    "forbidden": (403, FORBIDDEN, InputError, r"cannot patch\. Is it the right namespace"),
    "credentials": (401, {"reason": "Unauthorized"}, InputError, r"your credentials\. Log in"),
    "conflict": (
        409,
        CONFLICT,
        InputError,
        r'changed toys: \.spec\.predictor\.model\.storageUri: conflict with "kubectl-edit".*force',
    ),
    "webhook": (500, WEBHOOK, KfdetError, r"KServe does not answer: .* Is its controller running"),
    "denied": (400, DENIED, KfdetError, r"refused \(400\): .*only supported in Standard"),
    "no words": (503, "", ClusterUnreachableError, r"refused \(503\): Service Unavailable\."),
    "throttled": (429, {"message": "slow down"}, ClusterUnreachableError, r"\(429\): slow down\."),
    "etcd": (
        500,
        {"message": "etcdserver: leader changed"},
        ClusterUnreachableError,
        r"\(500\): etcd",
    ),
    "proxy": (502, "<html>", ClusterUnreachableError, r"refused \(502\): Bad Gateway\."),
    "slow": (
        504,
        {"reason": "Timeout"},
        ClusterUnreachableError,
        r"refused \(504\): Gateway Timeout\.",
    ),
}


@pytest.mark.parametrize(("status", "body", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(status: int, body: Any, kind: type[KfdetError], message: str) -> None:
    fake = FakeCluster()
    fake.answers["PATCH", "/toys"] = (status, body)
    with running(fake) as cluster, pytest.raises(kind, match=message) as raised:
        cluster.apply(MANIFEST)
    assert type(raised.value) is kind


def test_in_a_pod_the_manifests_are_the_way_out() -> None:
    fake = FakeCluster()
    fake.answers["PATCH", "/toys"] = (403, FORBIDDEN)
    with running(fake, inside=True) as cluster, pytest.raises(InputError, match="kubectl apply -k"):
        cluster.apply(MANIFEST)


def test_objects_come_and_go() -> None:
    fake = FakeCluster()
    with running(fake) as cluster:
        assert cluster.get("toys") is None
        assert cluster.endpoints() == []
        cluster.delete("toys")
        cluster.apply(MANIFEST)
        found = cluster.get("toys")
        assert found is not None
        assert found["spec"] == MANIFEST["spec"]
        assert len(cluster.endpoints()) == len(cluster.pods("toys")) == 1
        cluster.delete("toys")
        assert cluster.get("toys") is None


def test_one_that_is_being_deleted_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, left = FakeCluster(), iter(range(3))
    handle = fake.handle

    def slowly(method: str, url: str, body: Any) -> Any:
        """It is there for some more requests, whatever is applied to it."""
        if method in ("GET", "PATCH") and next(left, None) is not None:
            return 200, {"metadata": {"name": "toys", "deletionTimestamp": "2026-01-02T03:04:05Z"}}
        return handle(method, url, body)

    monkeypatch.setattr(fake, "handle", slowly)
    with running(fake) as cluster:
        assert cluster.apply(MANIFEST)["spec"] == MANIFEST["spec"]
        left = iter(range(3))
        cluster.delete("toys")
        assert next(left, None) is None
        cluster.apply(MANIFEST)
        left = iter(range(10**9))
        monkeypatch.setattr("kfdet.cluster.api._DELETION_SECONDS", 0)
        with pytest.raises(KfdetError, match="still exists"):
            cluster.delete("toys")


def test_server_side_apply_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, urls = FakeCluster(), []
    handle = fake.handle
    monkeypatch.setattr(
        fake, "handle", lambda m, url, body: (urls.append(url), handle(m, url, body))[1]
    )
    with running(fake) as cluster:
        cluster.apply(MANIFEST)
        cluster.apply(MANIFEST, force=True)
    assert [url.partition("?")[2] for url in urls] == [
        "fieldManager=kfdet&force=false",
        "fieldManager=kfdet&force=true",
    ]


def schema(*fields: str) -> Any:
    spec = {"properties": {field: {} for field in fields}}
    kind = {"group": names.GROUP, "kind": "InferenceService", "version": "v1beta1"}
    isvc = {"properties": {"spec": spec}, "x-kubernetes-group-version-kind": [kind]}
    return {"components": {"schemas": {"other": {}, "isvc": isvc}}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (schema(), True),  # the minimal CRDs take any field
        (schema("predictor"), False),
        (schema("predictor", "canary"), True),
    ],
)
def test_fields_of_the_schema(document: Any, expected: bool) -> None:
    fake = FakeCluster()
    fake.answers["GET", "/openapi/v3/apis/serving.kserve.io/v1beta1"] = (200, document)
    with running(fake) as cluster:
        assert cluster.endpoint_has_field("canary") is expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"data": {"ingress": '{"enableGatewayApi": true}'}}, {"enableGatewayApi": True}),
        (200, {"data": {}}, None),
        (403, FORBIDDEN, None),
        (404, {"reason": "NotFound", "details": {"name": "x", "kind": "configmaps"}}, None),
    ],
)
def test_kserves_settings_may_be_out_of_reach(status: int, body: Any, expected: Any) -> None:
    fake = FakeCluster()
    fake.answers["GET", "/configmaps/inferenceservice-config"] = (status, body)
    with running(fake) as cluster:
        assert cluster.kserve_configuration() == expected


KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "me", "user": {"token": "hidden-word"}}],
}


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return path


def test_no_kubeconfig(kubeconfig: Path) -> None:
    with pytest.raises(InputError, match="there is no kubeconfig") as raised:
        connect()
    assert raised.value.file == str(kubeconfig)


@pytest.mark.parametrize("text", ["", "a: [b", "kind: Config", "clusters: []\ncontexts: []\n"])
def test_bad_kubeconfig(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text)
    with pytest.raises(InputError, match="the kubeconfig is not usable"):
        connect()


@pytest.mark.parametrize(
    ("asked", "of_context", "expected"),
    [("", "", names.NAMESPACE), ("", "mine", "mine"), ("other", "mine", "other")],
)
def test_the_namespace(kubeconfig: Path, asked: str, of_context: str, expected: str) -> None:
    document = json.loads(json.dumps(KUBECONFIG))
    if of_context:
        document["contexts"][0]["context"]["namespace"] = of_context
    kubeconfig.write_text(yaml.safe_dump(document))
    cluster = connect(asked)
    assert (cluster.namespace, cluster.inside) == (expected, False)


def test_nobody_listens(kubeconfig: Path) -> None:
    kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
    with pytest.raises(
        ClusterUnreachableError, match=r"127\.0\.0\.1:1 cannot be reached: .*refused"
    ) as e:
        connect().get("toys")
    assert "hidden-word" not in str(e.value)


def test_a_passing_refusal_is_asked_again(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib3.Retry.sleep", lambda *_: None)
    fake = FakeCluster()
    handle, passing = fake.handle, [429, 500, 502, 504]

    def flaky(method: str, url: str, body: Any) -> Any:
        return (passing.pop(), {}) if passing else handle(method, url, body)

    monkeypatch.setattr(fake, "handle", flaky)
    with running(fake) as cluster:
        document = json.loads(json.dumps(KUBECONFIG))
        document["clusters"][0]["cluster"]["server"] = cluster.api.configuration.host
        kubeconfig.write_text(yaml.safe_dump(document))
        connected = connect("default")
        assert connected.apply(MANIFEST)["spec"] == MANIFEST["spec"]
        passing += [503, 500]
        connected.delete("toys")
        assert fake.objects == {}
        passing += [500, 503]
        for _ in range(2):  # a POST asks the model, through the API server
            with pytest.raises(KfdetError):
                connected.post_to_service("toys-predictor", "v1/models/toys:predict", {})
        assert passing == []


@pytest.fixture
def in_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """The cluster of the pod that this process seems to be in."""
    fake, folder = FakeCluster(), tmp_path / "account"
    folder.mkdir()
    (folder / "namespace").write_text("mine\n")

    def load(client_configuration: Any) -> None:
        client_configuration.host = outside.api.configuration.host
        client_configuration.api_key["authorization"] = "Bearer of-the-pod"

    with running(fake) as outside:
        monkeypatch.setattr("kubernetes.config.load_incluster_config", load)
        monkeypatch.setattr("kfdet.cluster.connection._POD_NAMESPACE", folder / "namespace")
        yield fake


TOKEN = "/namespaces/mine/serviceaccounts/kfdet-deployer/token"  # noqa: S105


@pytest.mark.parametrize(("asked", "expected"), [("", "mine"), ("other", "other")])
def test_a_pod_deploys_with_a_token_that_it_asks_for(
    in_pod: FakeCluster, asked: str, expected: str
) -> None:
    in_pod.answers["POST", TOKEN] = (201, {"status": {"token": "hidden-word"}})
    cluster = connect_to_deploy(asked)
    assert (cluster.namespace, cluster.inside) == (expected, True)
    assert cluster.api.configuration.api_key == {"authorization": "Bearer hidden-word"}
    assert connect().api.configuration.api_key == {"authorization": "Bearer of-the-pod"}


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            404,
            {
                "message": 'serviceaccounts "kfdet-deployer" not found',
                "details": {"name": "kfdet-deployer", "kind": "serviceaccounts"},
            },
            r'"kfdet-deployer" not found in the namespace mine\. .*kubectl apply -k',
        ),
        (403, FORBIDDEN, r"the cluster does not allow it: .*kubectl apply -k"),
    ],
)
def test_a_pod_without_the_account(
    in_pod: FakeCluster, status: int, body: Any, message: str
) -> None:
    in_pod.answers["POST", TOKEN] = (status, body)
    with pytest.raises(InputError, match=message):
        connect_to_deploy()


def test_a_service_is_asked_through_the_api_server() -> None:
    fake = FakeCluster()
    fake.answers["POST", "/services/toys-predictor/proxy/v1/models/toys:predict"] = (200, {"a": 1})
    with running(fake) as cluster:
        assert cluster.post_to_service("toys-predictor", "v1/models/toys:predict", {}) == {"a": 1}
        with pytest.raises(KfdetError, match=r"refused \(404\)"):
            cluster.post_to_service("absent", "v1/models/toys:predict", {})
        fake.answers["POST", "/services/toys-predictor/proxy/v1/models/toys:predict"] = (500, "")
        with pytest.raises(KfdetError, match=r"refused \(500\)") as raised:
            cluster.post_to_service("toys-predictor", "v1/models/toys:predict", {})
        assert type(raised.value) is KfdetError  # the model's own word, not a passing one


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("kserve/kserve-controller:v0.15.2", "v0.15.2"),
        ("registry.example.org:5000/kserve/kserve-controller:v0.20.0@sha256:0123", "v0.20.0"),
        ("kserve/kserve-controller@sha256:0123", ""),
        ("kserve/kserve-controller:latest", ""),
    ],
)
@pytest.mark.parametrize("namespace", ["kserve", "kubeflow"])
def test_kserves_version_is_that_of_its_controller(
    namespace: str, image: str, version: str
) -> None:
    path = f"/namespaces/{namespace}/deployments/kserve-controller-manager"
    containers = [{"image": "quay.io/proxy:v1.2.3"}, {"image": image}]
    fake = FakeCluster()
    fake.answers["GET", path] = (200, {"spec": {"template": {"spec": {"containers": containers}}}})
    with running(fake) as cluster:
        assert cluster.kserve_version() == version


@pytest.mark.parametrize("answer", [(403, {"reason": "Forbidden"}), (404, {"reason": "NotFound"})])
def test_kserves_version_where_a_user_may_not_see_it(answer: Any) -> None:
    fake = FakeCluster()
    fake.answers["GET", "/deployments/kserve-controller-manager"] = answer
    with running(fake) as cluster:
        assert cluster.kserve_version() == ""
