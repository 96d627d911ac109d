"""Against a server of a few lines that has the paths and the fields of the registry's OpenAPI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kfdet.deployment.endpoint import Release
from kfdet.deployment.registry import TOKEN_VARIABLE, Origin, find_registry, register

RELEASE = Release(
    "111111111111", "s3://kfdet/models/toys/1", {"AP50": 0.9}, run="run-1", dataset="0123"
)
ORIGIN = Origin("toys", "team")

API = "/api/model_registry/v1alpha3"
_COMMON = {"customProperties", "description", "externalId", "name"}
# schemas RegisteredModelCreate, ModelVersionCreate and ModelArtifact of the registry's OpenAPI
_FIELDS = {
    "registered_models": ({*_COMMON, "owner", "state"}, {"name"}),
    "model_versions": (
        {*_COMMON, "state", "author", "registeredModelId"},
        {"name", "registeredModelId"},
    ),
    "artifacts": (
        {
            *_COMMON,
            *("artifactType", "modelFormatName", "modelFormatVersion", "uri", "state"),
            *("storageKey", "storagePath", "serviceAccountName", "modelSourceKind"),
            *("modelSourceClass", "modelSourceGroup", "modelSourceId", "modelSourceName"),
        },
        {"artifactType"},
    ),
}
_SEARCHES = {
    "registered_model": "registered_models",
    "model_version": "model_versions",
    "model_artifact": "artifacts",
}


class Registry:
    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.refuses = 0

    def handle(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        if self.refuses:
            return self.refuses, {"code": str(self.refuses), "message": "not now"}
        path = urlsplit(url).path
        assert path.startswith(f"{API}/")
        parts = path.removeprefix(f"{API}/").split("/")
        if method == "GET":
            query = dict(parse_qsl(urlsplit(url).query))
            assert query.keys() <= {"name", "externalId", "parentResourceId"}
            found = [
                each
                for each in self.resources
                if each["kind"] == _SEARCHES[parts[0]]
                and each["name"] == query["name"]
                and each["parent"] == query.get("parentResourceId")
            ]
            return (200, found[0]) if found else (404, {"code": "404", "message": "none"})
        kind = parts[-1]
        known, required = _FIELDS[kind]
        assert required <= body.keys() <= known
        for value in body.get("customProperties", {}).values():
            field = {"MetadataStringValue": "string_value", "MetadataDoubleValue": "double_value"}
            assert value.keys() == {"metadataType", field[value["metadataType"]]}
        parent = parts[1] if kind == "artifacts" else body.get("registeredModelId")
        resource = {**body, "id": str(len(self.resources) + 1), "kind": kind, "parent": parent}
        self.resources.append(resource)
        return 201, resource


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def url(registry: Registry) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            registry.tokens.add(self.headers.get("authorization"))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = registry.handle(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_version_of_the_endpoints_model(registry: Registry, url: str) -> None:
    for _ in range(2):
        register(url, ORIGIN, RELEASE)
    model, version, artifact = registry.resources
    assert model["name"] == "team/toys"
    assert (version["name"], version["registeredModelId"]) == ("111111111111", model["id"])
    properties = version["customProperties"]
    assert properties["AP50"]["double_value"] == 0.9
    assert properties["dataset"]["string_value"] == "0123"
    assert artifact["uri"] == RELEASE.storage_uri
    assert (artifact["modelSourceKind"], artifact["modelSourceId"]) == ("pipelines", "run-1")
    register(url, ORIGIN, Release("222222222222", "s3://kfdet/models/toys/2"))
    assert [each["kind"] for each in registry.resources[3:]] == ["model_versions", "artifacts"]


def test_a_token(registry: Registry, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    register(url, ORIGIN, RELEASE)
    assert registry.tokens == {"Bearer secret"}


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_is_a_warning(
    registry: Registry, url: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    registry.refuses = status
    register(url, ORIGIN, RELEASE)
    assert f"could not be registered at {url}: GET answers {status}: not now." in caplog.text


def test_no_registry_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    register("http://127.0.0.1:9", ORIGIN, RELEASE)
    assert "could not be registered at http://127.0.0.1:9: ConnectionError" in caplog.text


def test_where_the_registry_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_registry("none", inside=True) == ""
    assert find_registry("https://registry/", inside=False) == "https://registry"
    assert find_registry("", inside=False) == ""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
    assert find_registry("", inside=True).startswith("http://model-registry-service.kubeflow.svc")

    def unknown(*_: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert find_registry("", inside=True) == ""
