"""`kfdet submit` at a backend that answers what the test wants."""

from __future__ import annotations

from typing import Any

import pytest
from support.workflow_samples import ran, workflow

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.kubeflow import backend, following
from kfdet.kubeflow.backend import BackendUnreachableError

AGAIN = "the run goes on; to follow it again: kfdet submit --follow r1"


class Backend:
    """Says one thing a look; an exception is raised."""

    def __init__(self, *looks: str | BaseException) -> None:
        self.looks = list(looks)

    def link(self, run_id: str) -> str:
        return f"http://kfp/{run_id}"

    def run(self, run_id: str) -> dict[str, Any]:
        look = self.looks.pop(0)
        if isinstance(look, BaseException):
            raise look
        return {"run_id": run_id, "state": look}

    def workflow(self, _: str) -> dict[str, Any]:
        return workflow(*ran("root.planning"))


@pytest.mark.parametrize(
    ("looks", "status", "goes_on"),
    [
        ([InputError("there is none.")], 2, False),
        (["RUNNING", "FAILED"], 1, False),
        (["RUNNING", "RUNNING", BackendUnreachableError("the server is away.")], 1, True),
        (["RUNNING", InputError("does not let you in (401).")], 2, True),
        (["RUNNING", KeyboardInterrupt()], 130, True),
    ],
)
def test_what_ends_the_following_alone_tells_so(
    looks: list[Any],
    status: int,
    goes_on: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backend, "connect_backend", lambda *_: Backend(*looks))
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", -1.0)
    assert main(["submit", "--follow", "r1"]) == status
    assert (AGAIN in capsys.readouterr().err) == goes_on
