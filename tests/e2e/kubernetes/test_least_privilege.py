"""What kfdet's accounts may not do, tried on the cluster that KUBECONFIG names: `make e2e`.

Nothing is started: the API server refuses, or accepts without carrying it out. The cluster needs
what manifests/ describes; AWS_ENDPOINT_URL leads to its object store from here.
"""

from __future__ import annotations

import base64
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.cluster.connection import connect
from kfdet.deployment.endpoint import Canary, Release, Serving
from kfdet.deployment.inference_service import build
from kfdet.errors import InputError, KfdetError
from kfdet.storage.environment import read_connection

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

NAME = f"forbidden-{uuid.uuid4().hex[:6]}"
NAMESPACE = names.NAMESPACE
RELEASE = Release("0" * 12, f"s3://kfdet/models/{NAME}/{'0' * 12}")
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def deployer() -> Cluster:
    """The cluster with the deployer's rights."""
    from kubernetes import client

    administrator = connect(NAMESPACE)
    settings, own = client.Configuration(), administrator.api.configuration
    settings.host, settings.ssl_ca_cert, settings.verify_ssl = (
        own.host,
        own.ssl_ca_cert,
        own.verify_ssl,
    )
    token = administrator.request_token(names.DEPLOYER_ACCOUNT)
    settings.api_key["authorization"] = f"Bearer {token}"
    return Cluster(client.ApiClient(settings), NAMESPACE, inside=False)


# --- rights ---

ALLOWED = [
    *((verb, names.GROUP, names.PLURAL) for verb in ("get", "list", "watch", "create", "patch")),
    ("delete", names.GROUP, names.PLURAL),
    *((verb, "policy", "poddisruptionbudgets") for verb in ("create", "patch", "delete")),
    ("get", "", "pods"),
    ("list", "", "pods"),
]
DENIED = [
    ("update", names.GROUP, names.PLURAL),
    ("deletecollection", names.GROUP, names.PLURAL),
    ("create", names.GROUP, "servingruntimes"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("create", "", "pods"),
    ("delete", "", "pods"),
    ("get", "", "pods/log"),
    ("create", "", "pods/exec"),
    ("get", "", "configmaps"),
    ("create", "", "serviceaccounts/token"),
    ("get", "apps", "deployments"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
]


def may(
    account: str, verb: str, group: str, resource: str, namespace: str = NAMESPACE, name: str = ""
) -> bool:
    """Whether a ServiceAccount may; the API server's own answer."""
    from kubernetes import client, config

    config.load_kube_config()
    kind, _, sub = resource.partition("/")
    attributes = client.V1ResourceAttributes(
        verb=verb, group=group, resource=kind, subresource=sub or None, namespace=namespace
    )
    attributes.name = name or None
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
    review = client.AuthorizationV1Api().create_subject_access_review(
        client.V1SubjectAccessReview(spec=spec)
    )
    return bool(review.status.allowed)


@pytest.mark.parametrize("asked", ALLOWED, ids=" ".join)
def test_the_deployer_may_in_its_namespace_only(asked: tuple[str, str, str]) -> None:
    assert may(names.DEPLOYER_ACCOUNT, *asked)
    assert not may(names.DEPLOYER_ACCOUNT, *asked, namespace="default")


@pytest.mark.parametrize("asked", DENIED, ids=" ".join)
def test_the_deployer_may_not(asked: tuple[str, str, str]) -> None:
    assert not may(names.DEPLOYER_ACCOUNT, *asked)


@pytest.mark.parametrize("account", [names.SERVING_ACCOUNT, "kfdet-tensorboard"])
@pytest.mark.parametrize("resource", ["secrets", "pods", "configmaps"])
def test_who_serves_may_nothing(account: str, resource: str) -> None:
    assert not may(account, "get", "", resource)


def test_runs_may_ask_for_the_deployers_token_only() -> None:
    runs = ("pipeline-runner", "create", "", "serviceaccounts/token")
    assert may(*runs, name=names.DEPLOYER_ACCOUNT)
    assert not may(*runs, name="default")


def test_the_token_expires(deployer: Cluster, core: Any) -> None:
    token = deployer.api.configuration.api_key["authorization"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert claims["exp"] - claims["iat"] <= 3600
    account = "kubernetes.io/service-account.name"
    kept = [
        secret.metadata.name
        for secret in core.list_namespaced_secret(NAMESPACE).items
        if (secret.metadata.annotations or {}).get(account) == names.DEPLOYER_ACCOUNT
    ]
    assert kept == []


def test_the_deployer_reads_no_secret(deployer: Cluster) -> None:
    deployer.endpoints()
    with pytest.raises(InputError, match=r"secrets .*is forbidden"):
        deployer._request("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{names.STORAGE_SECRET}")


# --- what an InferenceService may hold ---


def endpoint(name: str = NAME, canary: bool = False, mode: Any = "Standard") -> Manifest:
    serving = Serving(RELEASE, None, Canary(RELEASE, 10) if canary else None)
    return build(name, NAMESPACE, serving, mode)


@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_what_kfdet_writes_is_allowed(deployer: Cluster, mode: str) -> None:
    deployer.apply(endpoint(mode=mode), dry_run=True)


def inside(*path: str, value: Any) -> Callable[[Manifest], None]:
    """Sets a field of a manifest."""

    def change(manifest: Manifest) -> None:
        for step in path[:-1]:
            manifest = manifest.setdefault(step, {})
        manifest[path[-1]] = value

    return change


PREDICTOR = ("spec", "predictor")
CONTAINER = {"name": "kserve-container", "image": "somebody/else:1"}
SECRET = {"name": "all", "secret": {"secretName": names.STORAGE_SECRET}}
FORBIDDEN: dict[str, Callable[[Manifest], None]] = {
    "a container": inside(*PREDICTOR, "containers", value=[CONTAINER]),
    "an init container": inside(*PREDICTOR, "initContainers", value=[CONTAINER]),
    "a volume": inside(*PREDICTOR, "volumes", value=[SECRET]),
    "the node's network": inside(*PREDICTOR, "hostNetwork", value=True),
    "a node": inside(*PREDICTOR, "nodeName", value="kfdet"),
    "another account": inside(*PREDICTOR, "serviceAccountName", value="pipeline-runner"),
    "a token": inside(*PREDICTOR, "automountServiceAccountToken", value=True),
    "an image": inside(*PREDICTOR, "model", "image", value="somebody/else:1"),
    "a command": inside(*PREDICTOR, "model", "command", value=["sh"]),
    "a variable": inside(*PREDICTOR, "model", "env", value=[{"name": "A", "value": "b"}]),
    "a Secret": inside(
        *PREDICTOR, "model", "envFrom", value=[{"secretRef": {"name": names.STORAGE_SECRET}}]
    ),
    "another runtime": inside(*PREDICTOR, "model", "runtime", value="somebodys"),
    "a claim": inside(*PREDICTOR, "model", "storageUri", value="pvc://somebodys/model"),
    "another key": inside(*PREDICTOR, "model", "storage", value={"key": "somebodys"}),
    "a framework": inside(*PREDICTOR, "sklearn", value={"storageUri": "s3://kfdet/models"}),
    "a transformer": inside("spec", "transformer", value={"containers": [CONTAINER]}),
    "an explainer": inside("spec", "explainer", value={"containers": [CONTAINER]}),
    "an annotation of pods": inside(
        *PREDICTOR, "annotations", value={"sidecar.istio.io/inject": "false"}
    ),
    "a Secret by annotation": inside(
        "metadata", "annotations", "serving.kserve.io/secretName", value="somebodys"
    ),
    "a label": inside("metadata", "labels", "app", value="kfdet-minio"),
    "no owner": inside("metadata", "labels", value={}),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_the_deployer_may_not_write(deployer: Cluster, what: str) -> None:
    manifest = endpoint()
    FORBIDDEN[what](manifest)
    with pytest.raises(KfdetError, match=r"kfdet's deployer (may|has to)"):
        deployer.apply(manifest, dry_run=True)


def test_nor_in_a_canary(deployer: Cluster) -> None:
    manifest = endpoint(canary=True)
    (canary,) = manifest["spec"]["canary"]
    canary["predictor"]["volumes"] = [SECRET]
    with pytest.raises(KfdetError, match="may not write containers, volumes"):
        deployer.apply(manifest, dry_run=True)


@pytest.fixture
def somebodys() -> Iterator[str]:
    """The name of an InferenceService that kfdet did not make, and that is not run."""
    name, administrator = f"{NAME}-others", connect(NAMESPACE)
    manifest = endpoint(name)
    manifest["metadata"]["labels"] = {}
    manifest["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"
    administrator.apply(manifest)
    yield name
    administrator.delete(name)


def test_the_deployer_leaves_what_is_not_kfdets(deployer: Cluster, somebodys: str) -> None:
    with pytest.raises(KfdetError, match="of somebody else"):
        deployer.apply(endpoint(somebodys), force=True, dry_run=True)
    with pytest.raises(KfdetError, match="of somebody else"):
        deployer.delete(somebodys)


# --- the store ---


def client_of(core: Any, secret: str) -> Any:
    """A client of the store with the credentials of a Secret."""
    import minio

    found = core.read_namespaced_secret(secret, NAMESPACE).data
    keys = [
        base64.b64decode(found[name]).decode()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ]
    connection = read_connection("minio://kfdet")
    return minio.Minio(connection.host, *keys, secure=connection.scheme == "https")


def test_who_serves_only_reads(core: Any) -> None:
    from minio.error import S3Error

    writer, reader = client_of(core, names.STORAGE_SECRET), client_of(core, names.READER_SECRET)
    key = f"{NAME}/a"
    writer.put_object("kfdet", key, io.BytesIO(b"picture"), 7)
    try:
        assert reader.get_object("kfdet", key).read() == b"picture"
        assert [entry.object_name for entry in reader.list_objects("kfdet", f"{NAME}/")] == [key]
        for forbidden in (
            lambda: reader.put_object("kfdet", key, io.BytesIO(b"x"), 1),
            lambda: reader.remove_object("kfdet", key),
            lambda: reader.make_bucket(NAME),
            lambda: writer.make_bucket(NAME),
            lambda: writer.set_bucket_policy("kfdet", "{}"),
        ):
            with pytest.raises(S3Error, match="AccessDenied"):
                forbidden()
    finally:
        writer.remove_object("kfdet", key)
