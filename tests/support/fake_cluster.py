"""An API server of a few lines, with a KServe that is as good or as bad as a test wants it.

It speaks HTTP, so that the Kubernetes client and kfdet's error messages are the real ones. Applying
replaces an object, unless its resourceVersion is another one (apiserver's registry/store.go);
conflicts of fields and rights are tried on a real API server, in tests/e2e/kubernetes.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, Manifest

Answer = tuple[int, Any]


def ready_status(name: str, mode: str = "Standard") -> Manifest:
    return {
        "deploymentMode": mode,
        "url": f"http://{name}-default.example.com",
        "address": {"url": f"http://{name}-predictor.default.svc.cluster.local"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "modelStatus": {"transitionStatus": "UpToDate"},
    }


def pod(uri: str, *, ready: bool = True, **status: Any) -> Manifest:
    return {
        "metadata": {"name": "pod-1", "annotations": {names.SOURCE_URI: uri}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}], **status},
    }


def fields(value: Any) -> Manifest:
    """The fields of an object as metadata.managedFields has them (fieldsV1)."""
    return {f"f:{k}": fields(v) for k, v in value.items()} if isinstance(value, dict) else {}


class FakeCluster:
    """Objects by name, every request that came, and the answers that a test wants instead.

    Attributes:
        objects: The InferenceServices.
        budgets: The PodDisruptionBudgets.
        requests: (method, last part of the path) of each request.
        answers: (method, path's end) -> status and body, before anything else.
        groups: The API groups.
        broken: storageUris that never become ready, with the reason why.
        mode: How KServe runs them.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.budgets: dict[str, Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.answers: dict[tuple[str, str], Answer] = {}
        self.groups = {names.GROUP}
        self.broken: dict[str, str] = {}
        self.mode = "Standard"
        self.applied: list[Manifest] = []
        self.after_apply: Callable[[Manifest], None] = lambda manifest: None
        self._versions = itertools.count(1000)

    def handle(self, method: str, url: str, body: Any) -> Answer:
        path = urlsplit(url).path
        self.requests.append((method, path.rsplit("/", 1)[-1]))
        for (wanted, end), answer in self.answers.items():
            if wanted == method and path.endswith(end):
                return answer
        if path.startswith("/openapi/v3/"):
            return 200, {"components": {"schemas": {}}}  # allows every field
        if path == "/apis":
            return 200, {"groups": [{"name": name} for name in sorted(self.groups)]}
        if path.endswith("/pods"):
            selector = parse_qs(urlsplit(url).query)["labelSelector"][0]
            return 200, {"items": self._pods(selector.split("=")[1])}
        if path.endswith(f"/{names.PLURAL}"):
            return 200, {"items": list(self.objects.values())}
        if "/poddisruptionbudgets/" in path and method == "PATCH":
            self.budgets[path.rsplit("/", 1)[-1]] = body
            return 200, body
        if "/poddisruptionbudgets/" in path and self.budgets.pop(path.rsplit("/", 1)[-1], None):
            return 200, {}
        if "/poddisruptionbudgets/" in path:
            return 404, {"reason": "NotFound", "details": {"kind": "poddisruptionbudgets"}}
        if f"/{names.PLURAL}/" not in path:
            return 404, "404 page not found\n"
        if method == "PATCH" and path.endswith("/status"):
            found = self.objects[path.split("/")[-2]]
            found["status"].setdefault("annotations", {}).update(body["status"]["annotations"])
            return 200, found
        name = path.rsplit("/", 1)[-1]
        if method == "PATCH" and "dryRun" in parse_qs(urlsplit(url).query):
            self.requests[-1] = ("dry run", name)
            return 200, body
        if method == "PATCH":
            version = body["metadata"].pop("resourceVersion", None)
            if name in self.objects and version not in (None, self._version(name)):
                return 409, {"reason": "Conflict", "message": "the object has been modified"}
            self.applied.append(body)
            kept = self.objects.get(name, {}).get("status", {})
            self.objects[name] = {**body, "status": {**kept, **ready_status(name, self.mode)}}
            owned = {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields(body)}
            self.objects[name]["metadata"] = {**body["metadata"], "managedFields": [owned]}
            self.objects[name]["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
            self.objects[name]["metadata"]["uid"] = f"uid-of-{name}"
            self.after_apply(body)
        if name not in self.objects:
            return 404, {"reason": "NotFound", "details": {"name": name, "kind": names.PLURAL}}
        if method == "DELETE":
            return 200, self.objects.pop(name)
        self._version(name)
        return 200, self.objects[name]

    def touch(self, name: str) -> None:
        """Change an object's resourceVersion, as a new status does."""
        self.objects[name]["metadata"]["resourceVersion"] = str(next(self._versions))

    def _version(self, name: str) -> str:
        if "resourceVersion" not in self.objects[name]["metadata"]:
            self.touch(name)
        version: str = self.objects[name]["metadata"]["resourceVersion"]
        return version

    def _pods(self, name: str) -> list[Manifest]:
        spec = self.objects[name]["spec"]
        predictors = [spec["predictor"], *(c["predictor"] for c in spec.get("canary", []))]
        uris = [predictor["model"]["storageUri"] for predictor in predictors]
        return [pod(uri, **self._state(uri)) for uri in uris]

    def _state(self, uri: str) -> dict[str, Any]:
        if uri not in self.broken:
            return {}
        waiting = {"reason": "ErrImageNeverPull", "message": self.broken[uri]}
        entry = {"name": "kserve-container", "image": "x:1", "state": {"waiting": waiting}}
        return {"ready": False, "containerStatuses": [entry]}


@contextmanager
def running(fake: FakeCluster, *, inside: bool = False) -> Iterator[Cluster]:
    from kubernetes import client

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = fake.handle(self.command, self.path, body)
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_DELETE = do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    settings = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    settings.retries = False
    try:
        yield Cluster(client.ApiClient(settings), "default", inside=inside)
    finally:
        server.shutdown()
        server.server_close()
