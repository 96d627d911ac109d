from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kfdet import events
from kfdet.errors import InputError, Problem
from kfdet.events import Progress, emit, listening, parse_event, path_alias, warn, with_aliases


@pytest.mark.parametrize(
    "line",
    ["", "progress: done", "[1]", '{"other": 1}', '{"event": "warning", "message": "cut o'],
)
def test_what_is_not_an_event(line: str) -> None:
    assert parse_event(line) is None


def test_a_stage_prints_one_line_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(events.STAGE_VARIABLE, "planning")
    warn('2 errors:\na = "b"\nc')
    (line,) = capsys.readouterr().err.splitlines()
    event = parse_event(line)
    assert event is not None
    assert parse_event(f"100% 3/3 [00:01<00:00]{line}") == event
    assert (event["event"], event["stage"]) == ("warning", "planning")
    assert event["message"] == '2 errors:\na = "b"\nc'


def test_events_are_appended_to_the_file_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(events.EVENTS_VARIABLE, str(tmp_path / "events"))
    emit("start", stage="export")
    warn("odd")
    lines = (tmp_path / "events").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["start", "warning"]
    assert capsys.readouterr() == ("", "")


PROGRAM = """
from kfdet.events import Progress, emit, warn
progress = Progress("copy", 3, "files")
for _ in range(3):
    progress.advance()
emit("end")
emit("info", message="all is well")
"""


def test_a_library_prints_nothing() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KFDET_")}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_librarys_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    warn("100% odd")
    assert caplog.record_tuples == [("kfdet", logging.WARNING, "100% odd")]


def test_a_listener_gets_every_progress_of_several_threads() -> None:
    seen: list[dict[str, Any]] = []
    with listening(seen.append):
        progress = Progress("copy", 4000, "bytes")
        barrier = threading.Barrier(8)

        def work(_: int) -> None:
            barrier.wait()
            for _ in range(500):
                progress.advance()

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, range(8)))
        finally:
            sys.setswitchinterval(interval)
    assert progress.done == 4000
    assert (seen[-1]["event"], seen[-1]["done"]) == ("progress", 4000)


def test_an_alias_replaces_the_path_in_every_message() -> None:
    seen: list[dict[str, Any]] = []
    problem = Problem("error", "/data/x/a.xml is empty.", file="/data/x/a.xml", hint="See /data/x.")
    alias = path_alias(Path("/data/x"), "minio://b/x")
    with pytest.raises(InputError) as error, listening(seen.append), alias:  # noqa: PT012
        warn("/data/x is odd")
        renamed = with_aliases(problem)
        raise problem.error()
    assert seen[0]["message"] == "minio://b/x is odd"
    assert str(renamed) == str(error.value)
    assert str(renamed) == "minio://b/x/a.xml: minio://b/x/a.xml is empty. See minio://b/x."
    assert with_aliases(problem) == problem
