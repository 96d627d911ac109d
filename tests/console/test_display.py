from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from kfdet.console.display import Display


def task(stage: str, state: str, **fields: Any) -> dict[str, Any]:
    return {"event": "task", "stage": stage, "state": state, **fields}


def done(stage: str, seconds: float) -> list[dict[str, Any]]:
    return [task(stage, "started"), task(stage, "done", seconds=seconds)]


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([], []),
        (done("planning", 1.26), ["planning 1.3 s"]),
        ([task("planning", "cached")], ["planning unchanged"]),
        ([task("training", "started"), task("training", "failed", returncode=1)], []),
        (
            [
                *(task("interpolation", "started"), task("frame_extraction", "started")),
                *(task("interpolation", "started"), task("interpolation", "done", seconds=1.0)),
                *(task("frame_extraction", "done", seconds=2.0), task("interpolation", "cached")),
                *(task("interpolation", "done", seconds=0.5), *done("tfrecord_build", 3)),
            ],
            ["interpolation 1.5 s (3 groups)", "frame extraction 2.0 s", "TFRecord build 3.0 s"],
        ),
        (
            [
                {"event": "warning", "message": "[x] odd"},
                {"event": "warning", "message": "[x] odd"},
            ],
            ["warning: [x] odd"],
        ),
    ],
)
def test_lasting_lines(events: list[dict[str, Any]], lines: list[str]) -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=100))
    with display.live():
        for event in events:
            display.event(event)
        display.finish()
    assert [" ".join(line.split()) for line in out.getvalue().splitlines()] == lines


def test_a_bar_adds_up_the_processes_of_a_stage() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=100, force_terminal=True, color_system=None))
    progress = {"event": "progress", "stage": "frame_extraction", "task": "frames", "unit": "f"}
    with display.live():
        display.event(task("frame_extraction", "started"))
        display.event({**progress, "pid": 1, "done": 3, "total": 10, "note": ""})
        display.event({**progress, "pid": 2, "done": 4, "total": 20, "note": "fast"})
    assert "frame extraction: frames" in out.getvalue()
    assert "7/30" in out.getvalue()
    assert "fast" in out.getvalue()


def test_a_command_without_stages_has_a_bar() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=100, force_terminal=True, color_system=None))
    event = {"event": "progress", "stage": "", "task": "reading", "unit": "files", "pid": 1}
    with display.live():
        display.event({**event, "done": 1, "total": 2, "note": ""})
        display.finish()
    assert "reading" in out.getvalue()
    assert "1/2" in out.getvalue()


def test_progress_of_a_stage_that_has_not_started_is_left_out() -> None:
    display = Display(Console(file=io.StringIO()))
    event = {"event": "progress", "stage": "export", "task": "t", "unit": "", "pid": 1}
    display.event({**event, "done": 1, "total": 2})
    assert display.stages == {}
