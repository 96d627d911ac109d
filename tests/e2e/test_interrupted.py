"""An interrupted run, and a run whose stage is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.patience import SECONDS, wait_until
from support.square_video import write_square_video


@pytest.fixture
def running(tmp_path: Path, processes_of: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose planning stage has just started."""
    write_square_video(tmp_path / "dataset" / "clip.mp4")
    command = [sys.executable, "-m", "kfdet", "run", str(tmp_path / "dataset"), "-o", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        wait_until(lambda: processes_of(tmp_path / "run", "planning"), process)
        yield process


def test_interrupt(running: subprocess.Popen[bytes], tmp_path: Path, processes_of: Any) -> None:
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert b"the same command continues" in error
    assert b"Traceback" not in error
    wait_until(lambda: not processes_of(tmp_path / "run"))


def test_a_stage_that_is_killed(
    running: subprocess.Popen[bytes], tmp_path: Path, processes_of: Any
) -> None:
    for process in processes_of(tmp_path / "run", "--function_to_execute"):
        if b"kfdet.components" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0", 3)[2]:
            os.kill(process, signal.SIGKILL)
    _, error = running.communicate(timeout=SECONDS)
    assert running.returncode == 1
    assert b"Stage planning was killed (SIGKILL), most likely because memory ran out" in error
    assert b"run.log" in error
    assert b"Traceback" not in error


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_command(
    number: signal.Signals,
    status: int,
    running: subprocess.Popen[bytes],
    tmp_path: Path,
    processes_of: Any,
) -> None:
    running.send_signal(number)
    running.communicate(timeout=SECONDS)
    assert running.returncode == status
    wait_until(lambda: not processes_of(tmp_path / "run"))
