"""`kfdet runs`, `download` and `prune` at backends that answer what the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import run_files
from support.workflow_samples import driver, patch, ran, workflow

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.kubeflow import backend as backends

METRICS = run_files.metrics()
EVALUATED = workflow(
    driver("root.evaluation", pod_spec_patch=patch(outputs={"metrics": "minio://b/metrics"})),
    *ran("root.planning"),
)


class Backend:
    namespace = ""

    def __init__(self, state: str) -> None:
        self.state = state

    def find_version(self, *_: str) -> tuple[str, str]:
        return "p", ""

    def runs(self) -> list[dict[str, Any]]:
        return [self.run("r1"), self.run("r2") | {"pipeline_version_reference": None}]

    def run(self, run_id: str) -> dict[str, Any]:
        return {
            "run_id": run_id,
            "display_name": "toys",
            "state": self.state,
            "created_at": "2026-11-21T09:00:00Z",
            "finished_at": "2026-11-21T09:03:00Z",
            "pipeline_version_reference": {"pipeline_id": "p"},
            "runtime_config": {"parameters": {"dataset": "minio://b/toys"}},
        }

    def workflow(self, _: str) -> dict[str, Any]:
        return EVALUATED


@pytest.mark.parametrize(("state", "minutes"), [("SUCCEEDED", 3.0), ("RUNNING", None)])
@pytest.mark.parametrize("readable", [True, False])
def test_runs_on_a_cluster(
    state: str,
    minutes: float | None,
    readable: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(uri: str) -> dict[str, Any]:
        if not readable:
            raise InputError("the store refuses.")
        assert uri == "minio://b/metrics"
        return METRICS

    monkeypatch.setattr("kfdet.kubeflow.runs.read_metrics", read)
    monkeypatch.setattr(backends, "connect_backend", lambda *_: Backend(state))
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["state"], found["minutes"]) == ("r1", state.lower(), minutes)
    assert (found["ap50"], found["verdict"]) == ((0.9, True) if readable else (None, None))
    assert main(["runs"]) == 0
    assert "minio://b/toys" in capsys.readouterr().out


def test_local_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs" in capsys.readouterr().err
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "one" / "run.json").write_text(json.dumps(run_files.record()))
    assert main(["runs", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["ap50"], found["minutes"]) == ("one", 0.9, 2.0)
    assert main(["runs", str(tmp_path / "absent")]) == 2


def test_what_has_no_results_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "connect_backend", lambda *_: Backend("RUNNING"))
    assert main(["download", "r1", "-o", str(tmp_path / "run")]) == 2
    assert "has no results: it is running" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
