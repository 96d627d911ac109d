"""A run without credentials in any Secret, on the cluster that KUBECONFIG names: `make e2e`.

A pod plays the metadata service of a cloud's node and gives out temporary credentials of the store,
with a session token. Argo gives its address to the pods of the run, as a cloud's own webhook would.
While it runs, the Secret of the runs holds the address of the store and no key.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.command_line import kfdet_on_cluster as kfdet
from support.stage_names import STAGES

from kfdet.cluster.names import NAMESPACE, STORAGE_SECRET
from kfdet.cluster.releases import parse_release
from kfdet.components.image import IMAGE
from kfdet.demo.sample import make_sample
from kfdet.kubeflow.backend import Backend

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

NAME = f"identity-{uuid.uuid4().hex[:6]}"
DATASET = f"s3://kfdet/datasets/{NAME}"
ARGO = "workflow-controller-configmap"
LAUNCHER = "kfp-launcher"

# EC2's instance metadata, version 2: a token by PUT, then the name of a role, and its credentials.
SERVICE = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Metadata(BaseHTTPRequestHandler):
    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_PUT(self):
        self.answer(b"session")

    def do_GET(self):
        role = self.path.rstrip("/").endswith("/security-credentials")
        self.answer(b"kfdet" if role else open("/role/credentials", "rb").read())

ThreadingHTTPServer(("", 8080), Metadata).serve_forever()
"""


@pytest.fixture
def metadata_service(core: Any) -> Iterator[str]:
    """The address of the service, which gives out credentials for two hours."""
    from minio.credentials import AssumeRoleProvider

    given = AssumeRoleProvider(
        sts_endpoint=os.environ["AWS_ENDPOINT_URL"],
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        duration_seconds=7200,
    ).retrieve()
    now = datetime.now(UTC)
    credentials = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "Expiration": f"{now + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}",
        "AccessKeyId": given.access_key,
        "SecretAccessKey": given.secret_key,
        "Token": given.session_token,
    }
    metadata = {"name": NAME, "labels": {"app": NAME}}
    container = {
        "name": "metadata",
        "image": IMAGE,
        "command": ["python", "-c", SERVICE],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "role", "mountPath": "/role"}],
    }
    volumes = [{"name": "role", "secret": {"secretName": NAME}}]
    spec = {"containers": [container], "volumes": volumes, "automountServiceAccountToken": False}
    port = {"port": 80, "targetPort": 8080}
    secret = {"metadata": metadata, "stringData": {"credentials": json.dumps(credentials)}}
    core.create_namespaced_secret(NAMESPACE, secret)
    core.create_namespaced_pod(NAMESPACE, {"metadata": metadata, "spec": spec})
    service = {"metadata": metadata, "spec": {"selector": {"app": NAME}, "ports": [port]}}
    core.create_namespaced_service(NAMESPACE, service)
    try:
        deadline = time.monotonic() + 120
        while not ready(core.read_namespaced_pod(NAME, NAMESPACE)):
            assert time.monotonic() < deadline, "the metadata service does not start"
            time.sleep(1)
        yield f"http://{NAME}.{NAMESPACE}"
    finally:
        core.delete_namespaced_service(NAME, NAMESPACE)
        core.delete_namespaced_pod(NAME, NAMESPACE, grace_period_seconds=0)
        core.delete_namespaced_secret(NAME, NAMESPACE)


def ready(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


@contextmanager
def changed(core: Any, name: str, key: str, value: str) -> Iterator[None]:
    """Another value of a ConfigMap's key for a while."""
    before = (core.read_namespaced_config_map(name, NAMESPACE).data or {}).get(key)
    core.patch_namespaced_config_map(name, NAMESPACE, {"data": {key: value}})
    try:
        yield
    finally:
        core.patch_namespaced_config_map(name, NAMESPACE, {"data": {key: before}})


@contextmanager
def without_keys(core: Any) -> Iterator[str]:
    """The Secret of the runs with the address of the store only, which is returned."""
    found = core.read_namespaced_secret(STORAGE_SECRET, NAMESPACE)
    metadata = {
        "name": STORAGE_SECRET,
        "labels": found.metadata.labels,
        "annotations": found.metadata.annotations,
    }

    def replace(data: dict[str, str]) -> None:
        body = {"metadata": metadata, "data": data}
        core.replace_namespaced_secret(STORAGE_SECRET, NAMESPACE, body)

    address = found.data["AWS_ENDPOINT_URL"]
    replace({"AWS_ENDPOINT_URL": address, "AWS_REGION": base64.b64encode(b"us-east-1").decode()})
    try:
        yield base64.b64decode(address).decode().strip()
    finally:
        replace(found.data)


def providers_of(address: str) -> str:
    """The launcher's setting for a store whose credentials are in the environment."""
    bucket = {
        "bucketName": "kfdet",
        "endpoint": address.partition("://")[2],
        "disableSSL": address.startswith("http://"),
        "region": "us-east-1",
        "forcePathStyle": True,
        "credentials": {"fromEnv": True},
    }
    default = {"forcePathStyle": False, "credentials": {"fromEnv": True}}
    return json.dumps({"s3": {"default": default, "overrides": [bucket]}})


FIRST_BY_PATH = (2, 17)
"""The first Kubeflow Pipelines whose launcher, with credentials out of its environment, finds a
bucket by its path, as this store has them: backend/src/v2/objectstore/object_store.go."""


def test_a_run_without_credentials_in_a_secret(
    backend: Backend, core: Any, metadata_service: str, tmp_path: Path
) -> None:
    if (parse_release(backend.version) or FIRST_BY_PATH) < FIRST_BY_PATH:
        pytest.skip(f"Kubeflow Pipelines {backend.version} would look for kfdet.minio.kubeflow")
    make_sample(tmp_path / "dataset")
    assert kfdet("upload", str(tmp_path / "dataset"), DATASET).returncode == 0
    environment = [{"name": "AWS_EC2_METADATA_SERVICE_ENDPOINT", "value": metadata_service}]
    patch = json.dumps({"containers": [{"name": "main", "env": environment}]})
    defaults = json.dumps({"spec": {"podSpecPatch": patch}})
    quick = (
        *("--every", "6", "--longest-side", "320", "--input-size", "128x192"),
        *("--steps", "12", "--batch-size", "4", "--training-cpu", "500m"),
        *("--training-memory", "2Gi", "--seed", str(uuid.uuid4().int % 10**6)),
    )
    with (
        without_keys(core) as address,
        changed(core, LAUNCHER, "providers", providers_of(address)),
        changed(core, ARGO, "workflowDefaults", defaults),
    ):
        time.sleep(5)  # Argo looks at its settings
        done = kfdet("submit", DATASET, "--json", *quick)
    assert done.returncode == 0, done.stderr
    stages = {each["stage"]: each["state"] for each in json.loads(done.stdout)["stages"]}
    assert set(stages) == set(STAGES)
