"""The client against a server that answers as KFP's API server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.certificate import secured, write_certificate

from kfdet.errors import InputError, KfdetError
from kfdet.kubeflow.backend import (
    COOKIES_VARIABLE,
    TOKEN_VARIABLE,
    Backend,
    BackendUnreachableError,
    connect_backend,
)

VERSION = {"pipeline_id": "p1", "pipeline_version_id": "v9"}
HEALTH = "GET /apis/v2beta1/healthz"


class Server(ThreadingHTTPServer):
    """Answers each "METHOD path" with what the test puts there: (status, body or text)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {HEALTH: {"multi_user": False}}
        self.requests: list[tuple[str, dict[str, list[str]], bytes, dict[str, str]]] = []

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        place = urlsplit(self.path)
        name = f"{self.command} {place.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = parse_qs(place.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((name, query, body, headers))
        found = self.server.answers.get(name, (404, {"error": "not found", "code": 5}))
        if callable(found):
            found = found(query)
        status, content = found if isinstance(found, tuple) else (200, found)
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        kind = "text/html; charset=utf-8" if data.startswith(b"<") else "application/json"
        self.send_header("Content-Type", kind)
        if status == 302:
            self.send_header("Location", "/dex/auth")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TOKEN_VARIABLE, COOKIES_VARIABLE, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def sent(server: Server, name: str) -> Any:
    """The body of the only request of that name."""
    (body,) = [body for each, _, body, _ in server.requests if each == name]
    return json.loads(body)


# --- the way there ---


def test_an_installation_for_one(server: Server) -> None:
    backend = connect_backend(server.host + "/", "ignored")
    assert backend.namespace == ""
    assert not backend.same_cluster
    assert backend.version == ""


def test_the_version_that_an_installation_names(server: Server) -> None:
    server.answers[HEALTH] = {"multi_user": False, "tag_name": "2.16.1"}
    assert connect_backend(server.host).version == "2.16.1"


@pytest.mark.parametrize(
    ("answer", "has_ui"),
    [
        ("<!doctype html><title>Kubeflow Pipelines</title>", True),
        ((302, ""), True),  # to a login page
        ((404, "404 page not found"), False),  # the API server itself
        ((404, "<h1>not found</h1>"), False),
        ((200, {}), False),
    ],
)
def test_only_an_address_with_pages_becomes_a_link(
    answer: Any, has_ui: bool, server: Server
) -> None:
    server.answers["GET /"] = answer
    link = connect_backend(server.host).link("r1")
    assert (link == f"{server.host}/#/runs/details/r1") == has_ui
    assert ("kubectl port-forward -n kubeflow svc/ml-pipeline-ui" in link) != has_ui


def test_an_installation_for_several(server: Server) -> None:
    server.answers[HEALTH] = {"multi_user": True}
    assert connect_backend(server.host, "ann").namespace == "ann"
    with pytest.raises(InputError, match="--namespace"):
        connect_backend(server.host)


def test_token_and_cookies(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "abc")
    monkeypatch.setenv(COOKIES_VARIABLE, "session=1")
    connect_backend(server.host)
    headers = server.requests[0][3]
    assert headers["authorization"] == "Bearer abc"
    assert headers["cookie"] == "session=1"


def test_the_token_of_a_notebook_is_read_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("kfdet.kubeflow.backend._POD_ACCOUNT", token)
    monkeypatch.setattr("kfdet.kubeflow.backend._POD_TOKEN", token)
    server.answers["GET /apis/v2beta1/runs/r1"] = {"run_id": "r1"}
    backend = connect_backend(server.host)
    token.write_text("second\n")
    backend.run("r1")
    sent = [headers["authorization"] for *_, headers in server.requests]
    assert (sent[0], sent[-1]) == ("Bearer first", "Bearer second")


def test_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"there is no kubeconfig.*--host"):
        connect_backend()


def test_through_the_kubeconfigs_cluster(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server.host}}],
                "users": [{"name": "u", "user": {"token": "mine"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    proxy = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
    server.answers[HEALTH.replace("/apis", f"{proxy}/apis")] = {}
    backend = connect_backend()
    assert server.requests[-1][3]["authorization"] == "Bearer mine"
    assert "port-forward" in backend.link("r1")
    assert backend.same_cluster


TROUBLES = [
    ((302, ""), InputError, "access denied (302)"),
    ((401, {"error": "no"}), InputError, "access denied (401): no."),
    ((403, {"message": "forbidden"}), InputError, f"forbidden. Set {TOKEN_VARIABLE}"),
    ((404, "default backend"), InputError, "not found: "),
    ((200, "<html>sign in</html>"), InputError, "login page"),
    (
        (503, {"message": "no endpoints available"}),
        BackendUnreachableError,
        "no endpoints available",
    ),
    ((500, {"error_message": "database"}), BackendUnreachableError, "refused (500): database."),
    ((429, {"message": "too many requests"}), BackendUnreachableError, "refused (429): too many"),
    ((409, {"message": "twice"}), KfdetError, "refused (409): twice."),
    ((400, None), KfdetError, "refused (400): Bad Request."),
]


@pytest.mark.parametrize(("answer", "kind", "message"), TROUBLES)
def test_what_it_says_instead(
    answer: Any, kind: type[KfdetError], message: str, server: Server
) -> None:
    server.answers[HEALTH] = answer
    with pytest.raises(kind) as error:
        connect_backend(server.host)
    assert message in str(error.value)


@pytest.mark.parametrize("status", [429, 500])
def test_what_may_have_been_done_is_not_asked_again(
    status: int, server: Server, backend: Backend
) -> None:
    server.answers["POST /apis/v2beta1/runs"] = (status, {"error_message": "database"})
    with pytest.raises(KfdetError, match="refused") as error:
        backend.start("toys", "e1", VERSION, {}, "")
    assert not isinstance(error.value, BackendUnreachableError)


def test_nobody_answers() -> None:
    with pytest.raises(BackendUnreachableError, match="cannot be reached"):
        connect_backend("http://127.0.0.1:1")


# --- requests ---


@pytest.fixture
def backend(server: Server) -> Backend:
    return connect_backend(server.host)


def test_no_pipeline_yet(server: Server, backend: Backend) -> None:
    server.answers["GET /apis/v2beta1/pipelines"] = {}
    assert backend.find_version("kfdet-training", "v1") == ("", "")


def test_a_version_on_the_second_page(server: Server, backend: Backend) -> None:
    server.answers["GET /apis/v2beta1/pipelines"] = {
        "pipelines": [
            {"display_name": "other", "pipeline_id": "p0"},
            {"display_name": "kfdet-training", "pipeline_id": "p1"},
        ]
    }
    pages = {
        "": {"pipeline_versions": [], "next_page_token": "more"},
        "more": {"pipeline_versions": [{"display_name": "v1", "pipeline_version_id": "v9"}]},
    }
    server.answers["GET /apis/v2beta1/pipelines/p1/versions"] = lambda query: pages[
        query.get("page_token", [""])[0]
    ]
    assert backend.find_version("kfdet-training", "v1") == ("p1", "v9")
    assert backend.find_version("kfdet-training", "v2") == ("p1", "")


def test_upload(server: Server, backend: Backend, tmp_path: Path) -> None:
    server.answers["POST /apis/v2beta1/pipelines"] = {"pipeline_id": "p1"}
    server.answers["POST /apis/v2beta1/pipelines/upload_version"] = {"pipeline_version_id": "v9"}
    assert backend.create_pipeline("kfdet-training", "what") == "p1"
    assert sent(server, "POST /apis/v2beta1/pipelines") == {
        **{"display_name": "kfdet-training", "description": "what"}
    }
    file = tmp_path / "pipeline.yaml"
    file.write_text("root: {}\n")
    assert backend.upload_version("p1", "v1", file) == "v9"
    _, query, body, _ = server.requests[-1]
    assert query == {"name": ["v1"], "pipelineid": ["p1"]}
    assert b'name="uploadfile"' in body
    assert b"root: {}\n" in body


def test_an_experiment_is_found_or_made(server: Server, backend: Backend) -> None:
    experiments = [{"display_name": "other", "experiment_id": "e0"}]
    server.answers["GET /apis/v2beta1/experiments"] = {"experiments": experiments}
    server.answers["POST /apis/v2beta1/experiments"] = {"experiment_id": "e2"}
    assert backend.experiment("kfdet") == "e2"
    available = {"display_name": "kfdet", "experiment_id": "e1", "storage_state": "AVAILABLE"}
    experiments.append(available)
    assert backend.experiment("kfdet") == "e1"
    assert not any("unarchive" in name for name, *_ in server.requests)


def test_an_archived_experiment_is_restored(server: Server, backend: Backend) -> None:
    archived = {"display_name": "kfdet", "experiment_id": "e1", "storage_state": "ARCHIVED"}
    server.answers["GET /apis/v2beta1/experiments"] = {"experiments": [archived]}
    server.answers["POST /apis/v2beta1/experiments"] = (409, {"message": "already exists"})
    server.answers["POST /apis/v2beta1/experiments/e1:unarchive"] = {}
    assert backend.experiment("kfdet") == "e1"
    assert server.requests[-1][0] == "POST /apis/v2beta1/experiments/e1:unarchive"


def test_an_experiment_that_another_client_makes_first(server: Server, backend: Backend) -> None:
    place, experiments = "/apis/v2beta1/experiments", []

    def refuse(_: object) -> tuple[int, object]:
        experiments.append({"display_name": "kfdet", "experiment_id": "e1"})
        return 409, {"message": "already exists"}

    server.answers[f"GET {place}"] = {"experiments": experiments}
    server.answers[f"POST {place}"] = refuse
    assert backend.experiment("kfdet") == "e1"


def test_what_can_be_neither_found_nor_created(server: Server, backend: Backend) -> None:
    server.answers["GET /apis/v2beta1/experiments"] = {}
    server.answers["POST /apis/v2beta1/experiments"] = (400, {"message": "too long a name"})
    with pytest.raises(KfdetError, match="too long a name"):
        backend.experiment("kfdet")


def test_a_profile_owns_what_is_made(server: Server) -> None:
    server.answers[HEALTH] = {"multi_user": True}
    server.answers["GET /apis/v2beta1/experiments"] = {}
    server.answers["POST /apis/v2beta1/experiments"] = {"experiment_id": "e2"}
    connect_backend(server.host, "ann").experiment("kfdet")
    assert sent(server, "POST /apis/v2beta1/experiments")["namespace"] == "ann"


def test_a_run(server: Server, backend: Backend) -> None:
    server.answers["POST /apis/v2beta1/runs"] = {"run_id": "r1"}
    server.answers["GET /apis/v2beta1/runs/r1"] = {"run_id": "r1", "state": "RUNNING"}
    server.answers["GET /apis/v2beta1/runs"] = {"runs": [{"run_id": "r1"}]}
    manifest = {"metadata": {"name": "w"}}
    server.answers["GET /apis/v1beta1/runs/r1"] = {
        "pipeline_runtime": {"workflow_manifest": json.dumps(manifest)}
    }
    server.answers["GET /apis/v1alpha1/runs/r1/nodes/pod-1/log"] = (200, "progress: 1\n")
    arguments = {"dataset": "minio://a/b", "node_selector": {"gpu": "yes"}, "steps": 3}
    assert backend.start("toys", "e1", VERSION, arguments, "minio://a/runs") == "r1"
    body = sent(server, "POST /apis/v2beta1/runs")
    assert body["pipeline_version_reference"] == VERSION
    assert body["runtime_config"] == {"parameters": arguments, "pipeline_root": "minio://a/runs"}
    assert backend.run("r1")["state"] == "RUNNING"
    assert [run["run_id"] for run in backend.runs("e1")] == ["r1"]
    assert backend.workflow("r1") == manifest
    assert backend.log("r1", "pod-1") == "progress: 1\n"


def test_a_recurring_run(server: Server, backend: Backend) -> None:
    place = "/apis/v2beta1/recurringruns"
    server.answers[f"POST {place}"] = {"recurring_run_id": "s1"}
    server.answers[f"GET {place}"] = {"recurringRuns": [{"recurring_run_id": "s1"}]}
    server.answers[f"POST {place}/s1:disable"] = {}
    server.answers[f"DELETE {place}/s1"] = {}
    times = "0 0 3 * * *"
    made = backend.create_recurring_run("toys", times, "e1", VERSION, {"steps": 3}, "s3://a/runs")
    assert made == "s1"
    body = sent(server, f"POST {place}")
    assert body["trigger"] == {"cron_schedule": {"cron": times}}
    assert (body["max_concurrency"], body["no_catchup"], body["mode"]) == ("1", True, "ENABLE")
    assert body["pipeline_version_reference"] == VERSION
    assert body["runtime_config"] == {"parameters": {"steps": 3}, "pipeline_root": "s3://a/runs"}
    assert [run["recurring_run_id"] for run in backend.recurring_runs()] == ["s1"]
    backend.enable_recurring_run("s1", enabled=False)
    backend.delete_recurring_run("s1")


def test_a_run_with_the_namespaces_own_root(server: Server, backend: Backend) -> None:
    server.answers["POST /apis/v2beta1/runs"] = {"run_id": "r1"}
    backend.start("toys", "e1", VERSION, {"steps": 3}, "")
    body = sent(server, "POST /apis/v2beta1/runs")
    assert body["runtime_config"] == {"parameters": {"steps": 3}}


def test_what_is_not_known_yet(server: Server, backend: Backend) -> None:
    server.answers["GET /apis/v1beta1/runs/r1"] = {"run": {}}
    assert backend.workflow("r1") == {}
    assert backend.log("r1", "gone") == ""
    refusal = '{"error_message":"BadRequestError: Failed to read logs","error_details":""}'
    server.answers["GET /apis/v1alpha1/runs/r1/nodes/pod-1/log"] = (200, refusal)
    assert backend.log("r1", "pod-1") == ""
    with pytest.raises(InputError, match="run's ID"):
        backend.run("r2")


def test_a_certificate_that_nobody_trusts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificate(certificate := tmp_path / "ca.pem")
    server.socket = secured(server.socket, certificate)
    host = server.host.replace("http:", "https:")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(
        BackendUnreachableError, match=r"untrusted certificate: .*self.signed .*SSL_CERT_FILE"
    ):
        connect_backend(host)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert not connect_backend(host).same_cluster
