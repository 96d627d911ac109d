"""The process of a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kfdet.components import __main__ as process
from kfdet.components.__main__ import run_stage
from kfdet.errors import InputError, KfdetError
from kfdet.events import STAGE_VARIABLE, running_stage
from kfdet.parameters import DatasetSettings


def failing(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STAGE_VARIABLE, "")  # so that it is restored


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(process, "_TERMINATION_LOG", path)
    return path


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KfdetError("no luck"), 1, "no luck"),
        (InputError("is empty.", file="a.xml", hint="Draw."), 2, "a.xml: is empty. Draw."),
        (FileNotFoundError(2, "No such file", "b.mp4"), 2, "b.mp4: No such file."),
        (KfdetError("a" + "é" * 3000), 1, "a" + "é" * 2047),
    ],
)
def test_a_failed_stage_leaves_its_message(
    error: Exception,
    status: int,
    message: str,
    termination_log: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_stage("export", failing(error)) == status
    assert termination_log.read_text() == message
    start, end = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (start["event"], start["stage"]) == ("start", "export")
    assert (end["event"], end["stage"]) == ("error", "export")
    assert end["message"].startswith(message)
    assert end["exit_status"] == status


@pytest.mark.parametrize("error", [ValueError("odd"), OSError("no number, no file")])
def test_an_unexpected_error_keeps_its_traceback(error: Exception, termination_log: Path) -> None:
    with pytest.raises(type(error)):
        run_stage("export", failing(error))
    assert termination_log.read_text() == f"{type(error).__name__}: {error}"


def test_a_good_stage_leaves_no_message(
    termination_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = []
    assert run_stage("export", lambda: stages.append(running_stage())) == 0
    assert stages == ["export"]
    assert termination_log.read_text() == ""
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["start", "end"]


@pytest.mark.parametrize("place", ["absent", "folder"])
def test_outside_of_a_pod_there_is_no_termination_message(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    if place == "folder":
        path.mkdir()
    monkeypatch.setattr(process, "_TERMINATION_LOG", path)
    assert run_stage("export", failing(KfdetError("no luck"))) == 1
    assert path.exists() == (place == "folder")


def test_the_command_of_a_component_runs_its_stage(tmp_path: Path) -> None:
    """A wrong dataset comes back as an error event and exit status 2."""
    parameters = {
        **{"dataset": str(tmp_path), "fingerprint": "", "frame_rate": 10.0, "every": 0},
        **{"val_share": 0.2, "guard_seconds": 3.0, "seed": 0, **asdict(DatasetSettings())},
        "negative_share": 0.1,
    }
    plan = {"name": "plan", "uri": str(tmp_path / "plan"), "metadata": {}}
    given = {
        "inputs": {"parameterValues": parameters},
        "outputs": {
            "artifacts": {"plan": {"artifacts": [plan]}},
            "outputFile": str(tmp_path / "output.json"),
        },
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kfdet.components", "--executor_input", json.dumps(given)),
            *("--function_to_execute", "planning"),
        ],
        env={k: v for k, v in os.environ.items() if not k.startswith("KFDET_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    start, error = (json.loads(line) for line in done.stderr.splitlines())
    assert (start["event"], error["event"], error["exit_status"]) == ("start", "error", 2)
    assert str(tmp_path) in error["message"]


def test_a_stage_without_its_extra_names_it(
    termination_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_stage("training", failing(ModuleNotFoundError(name="tensorflow"))) == 1
    assert termination_log.read_text() == (
        "The module tensorflow is not installed: pip install 'kfdet[train]'."
    )


THREADS = """
import os
from kfdet.components import __main__ as process

process.count_cores = lambda: 1
os.cpu_count = lambda: 64
process.limit_threads()
import cv2, pyarrow
print(pyarrow.cpu_count(), cv2.getNumThreads(), os.environ["TF_NUM_INTRAOP_THREADS"])
"""


def test_libraries_start_as_many_threads_as_the_container_has_cores() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in process._THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.split() == ["1", "1", "1"]


def test_without_a_limit_libraries_count_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "count_cores", lambda: 64)
    monkeypatch.setattr(process.os, "cpu_count", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    process.limit_threads()
    assert "OMP_NUM_THREADS" not in os.environ
