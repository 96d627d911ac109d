"""`kfdet submit` at a backend that answers what the test wants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.kfp_backend import KfpBackend
from support.workflow_samples import driver, patch, ran, workflow

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.kubeflow import backend, following, scoring, submission
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


# --- scoring ---

SCORED = {
    "files": 3,
    "frames": 40,
    "detections": 7,
    "scored": 2,
    "target": "minio://b/found",
    "failed": [{"name": "x.jpg", "problem": "x.jpg: is no picture."}],
}
SUMMARISED = workflow(
    driver("root.scoring-summary", pod_spec_patch=patch(outputs={"summary": "minio://b/summary"}))
)


class ScoringBackend(KfpBackend):
    """Its run has ended at once."""

    def link(self, run_id: str) -> str:
        return f"http://kfp/{run_id}"

    def run(self, run_id: str) -> dict[str, Any]:
        times = {"created_at": "2026-11-21T09:00:00Z", "finished_at": "2026-11-21T09:03:00Z"}
        return {"run_id": run_id, "experiment_id": "e", "state": "SUCCEEDED", **times}

    def workflow(self, _: str) -> dict[str, Any]:
        return SUMMARISED


@pytest.mark.parametrize("words", [["--pipeline", "scoring"], ["--pipeline=scoring"]])
@pytest.mark.parametrize("as_json", [False, True])
def test_scoring_has_its_own_arguments(
    words: list[str],
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: list[Any] = []

    def prepare(_: Any, *rest: Any) -> Any:
        given.extend(rest)
        return submission.Order("today", "e", {}, {}, "", "")

    monkeypatch.setattr(backend, "connect_backend", lambda *_: ScoringBackend())
    monkeypatch.setattr(scoring, "prepare_scoring", prepare)
    monkeypatch.setattr(submission, "read_json", lambda _: SCORED)
    places = ["minio://b/films", "minio://b/found", "--model", "minio://b/model.zip"]
    options = ["--every", "5", "--groups", "8", "--accelerator-count", "1"]
    assert main(["submit", *places, *words, *options, *["--json"] * as_json]) == 0
    source, target, model, settings, pods, accelerators, *_ = given
    assert [source, target, model] == [each for each in places if "://" in each]
    assert (settings.every, pods.groups, accelerators.accelerator_count) == (5, 8, 1)
    printed = capsys.readouterr()
    if as_json:
        assert json.loads(printed.out)["scoring"] == SCORED
    else:
        line = "7 detections on 40 frames of 3 files, 2 of them now → minio://b/found"
        assert line in printed.out
        assert "x.jpg: is no picture." in printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pipeline", "scoring", "minio://b/in", "minio://b/out"], "Missing option '--model'"),
        (["--pipeline", "scoring", "minio://b/in", "--model", "m"], "Missing argument 'DST'"),
        (["--pipeline", "scoring", "--steps", "9", "a", "b"], "No such option: --steps"),
        (["minio://b/in", "--groups", "9"], "No such option: --groups"),
    ],
)
def test_options_of_the_other_pipeline(
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["submit", *words]) == 2
    assert message in capsys.readouterr().err


def test_what_a_scoring_lacks_is_explained_by_its_own_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["submit", "--pipeline", "scoring"]) == 2
    assert "submit --pipeline scoring -h" in capsys.readouterr().err
