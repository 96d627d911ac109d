from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kfdet.cluster.names import NOTIFY_VARIABLE
from kfdet.stages.notification import notify

ENDED = ("FAILED", "no disk", "r1", "kfdet-training-x", "minio://b/toys", "toys")


class Webhook(ThreadingHTTPServer):
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[Any] = []


class Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfdet.stages.notification._PAUSE", 0.0)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hidden-word"
        monkeypatch.setenv(NOTIFY_VARIABLE, f"{url}\n")
        yield server
        server.shutdown()


def test_the_webhook_gets_what_happened(webhook: Webhook) -> None:
    notify(*ENDED)
    (body,) = webhook.bodies
    assert body["text"] == "kfdet: kfdet-training-x on minio://b/toys failed: no disk"
    assert (body["state"], body["run"], body["endpoint"]) == ("FAILED", "r1", "toys")


@pytest.mark.parametrize("url", ["", "hidden-word", "http://127.0.0.1:9/hidden-word", "http://["])
def test_a_webhook_that_cannot_be_reached_is_a_warning(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, url)
    notify(*ENDED)
    assert "No notification was sent" in caplog.text
    assert "hidden-word" not in caplog.text


def test_a_webhook_that_refuses_is_a_warning(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = 403
    notify(*ENDED)
    assert "answers with status 403" in caplog.text
