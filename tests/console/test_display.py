from __future__ import annotations

import io
import re
import sys
import time
from typing import Any

import pytest
from rich.console import Console
from support.patience import wait_until

from kfdet.console import views
from kfdet.console.display import Display, show_events
from kfdet.console.views import Bar


def task(stage: str, state: str, **fields: Any) -> dict[str, Any]:
    return {"event": "task", "stage": stage, "state": state, **fields}


def progress(stage: str, task: str, done: int, total: int, **fields: Any) -> dict[str, Any]:
    event = {"event": "progress", "stage": stage, "task": task, "done": done, "total": total}
    return {"unit": "frames", "pid": 1, "note": "", **event, **fields}


def done(stage: str, seconds: float) -> list[dict[str, Any]]:
    return [task(stage, "started"), task(stage, "done", seconds=seconds)]


def terminal(width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=True, color_system=None), out


def drawn(console: Console, events: list[dict[str, Any]]) -> None:
    """Draw events; the bars are drawn once more after the last one."""
    display = Display(console)
    with display.live():
        for event in events:
            display.event(event)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([], []),
        (done("planning", 1.26), ["planning ...", "planning 1.3 s"]),
        ([task("planning", "cached", seconds=1.0)], ["planning unchanged"]),
        (
            [*done("training", 1.0), *done("training", 2.0)],
            ["training ...", "training ...", "training 3.0 s (2 settings)"],
        ),
        (
            [task("training", "started"), task("training", "failed", returncode=1)],
            ["training ..."],
        ),
        (
            [
                *(task("interpolation", "started"), task("frame_extraction", "started")),
                *(task("interpolation", "started"), task("interpolation", "done", seconds=1.0)),
                *(task("frame_extraction", "done", seconds=2.0), task("interpolation", "cached")),
                *(task("interpolation", "done", seconds=0.5), *done("tfrecord_build", 3)),
            ],
            [
                *("interpolation ...", "frame extraction ...", "interpolation 1.5 s (3 groups)"),
                *("frame extraction 2.0 s", "TFRecord build ...", "TFRecord build 3.0 s"),
            ],
        ),
        (
            [
                {"event": "warning", "message": "[x] odd"},
                {"event": "warning", "message": "[x] odd"},
                {"event": "info", "message": "starting from [x]"},
            ],
            ["warning: [x] odd", "starting from [x]"],
        ),
        ([{"event": "outputs", "outputs": {}}], []),
    ],
)
def test_lines_of_a_log(events: list[dict[str, Any]], lines: list[str]) -> None:
    out = io.StringIO()
    with show_events(Console(file=out, width=40)) as on_event:
        for event in events:
            on_event(event)
    assert [" ".join(line.split()) for line in out.getvalue().splitlines()] == lines


def test_a_log_is_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_LOG_SECONDS", 0.5)
    out = io.StringIO()
    with show_events(Console(file=out)) as on_event:
        on_event(task("export", "started"))
        wait_until(lambda: re.search(r"export: \d+:\d\d so far\n", out.getvalue()))
        on_event(progress("export", "frames", 3, 10, note="slow"))
        said = r"export: frames: 3/10 frames, \d+:\d\d so far, slow\n"
        wait_until(lambda: re.search(said, out.getvalue()))


def test_a_bar_adds_up_the_processes_of_a_stage() -> None:
    console, out = terminal()
    events = [progress("frame_extraction", "frames", 3, 10)]
    events.append(progress("frame_extraction", "frames", 4, 20, pid=2, note="fast"))
    drawn(console, [task("frame_extraction", "started"), *events])
    assert "frame extraction: frames" in out.getvalue()
    assert "7/30 frames" in out.getvalue()
    assert "fast" in out.getvalue()


def test_a_finished_task_leaves_the_bar_of_what_goes_on() -> None:
    """Validation after the last training step is not drawn as 20 of 20 steps."""
    console, out = terminal()
    events = [task("training", "started"), progress("training", "training", 20, 20)]
    drawn(console, events)
    last = out.getvalue().rpartition("training")[2]
    assert "20/20" not in last
    console, out = terminal()
    drawn(console, [*events, progress("training", "validation", 1, 5)])
    assert "training: validation" in out.getvalue()
    assert "1/5" in out.getvalue()


def test_nothing_is_counted_before_the_total_is_known() -> None:
    console, out = terminal()
    drawn(console, [task("training", "started")])
    assert "training" in out.getvalue()
    assert "/" not in out.getvalue()


def test_a_command_without_stages_has_a_bar() -> None:
    console, out = terminal()
    drawn(console, [progress("", "reading", 1, 2)])
    assert "reading" in out.getvalue()
    assert "1/2" in out.getvalue()


def test_progress_of_a_stage_that_has_not_started_is_left_out() -> None:
    console, out = terminal()
    drawn(console, [progress("export", "files", 1, 2)])
    assert "export" not in out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_bar_is_wider_than_the_terminal(width: int) -> None:
    console, out = terminal(width)
    bars = [
        Bar("TFRecord build: a task with a long name", "pictures", 1234, 5678, "remark " * 20),
        Bar("export"),
    ]
    console.print(views._table(bars, width))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    assert "1234/5678 pictures" in lines[0]


def test_figures_are_whole_in_a_very_narrow_terminal() -> None:
    console, out = terminal(40)
    bar = Bar("training", "steps", 120, 494)
    bar.started, bar._pace = time.monotonic() - 60, (time.monotonic() - 60, 20)
    console.print(views._table([bar], 40))
    assert "training 120/494 steps 1:00, 3:44 left" in out.getvalue()


def test_a_warning_breaks_between_words() -> None:
    console, out = terminal(60)
    message = "every one of these words has to be readable in a narrow terminal window"
    drawn(console, [{"event": "warning", "message": message}])
    words = set(re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", " ", out.getvalue()).split())
    assert set(message.split()) <= words


@pytest.mark.parametrize(
    ("updates", "seconds", "left"),
    [
        ([], 10, None),
        ([(0, 100)], 10, None),
        ([(0, 100), (20, 100)], 10, None),  # those 20 may have been slow for once
        ([(0, 100), (20, 100), (40, 100)], 10, 30),
        ([(0, 0), (20, 0), (40, 0)], 10, None),
        ([(0, 100), (20, 100), (100, 100)], 10, 0),
        ([(0, 100), (20, 100), (100, 100), (0, 100), (40, 100)], 10, None),  # it began again
    ],
)
def test_remaining_time(
    updates: list[tuple[int, int]],
    seconds: int,
    left: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each update `seconds` pass."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bar = Bar("training", "steps", started=now)
    for steps, total in updates:
        bar.update(steps, total, "")
        now += seconds if (steps, total) != updates[-1] else 0
    assert bar.remaining() == left


def test_a_notebook_has_one_output_area(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            assert raw
            shown.append(bundle)

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        shown.append(bundle)
        return Handle()

    module = type(sys)("IPython.display")
    module.__dict__["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", type(sys)("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(views, "_REDRAW_SECONDS", 0)
    view = views.NotebookView()
    view.start()
    assert set(shown[-1].values()) == {""}
    view.line("[yellow]warning:[/] odd <tag>")
    view.show([Bar("training", "steps", 3, 10)])
    assert "3/10 steps" in shown[-1]["text/plain"]
    assert "warning: odd <tag>" in shown[-1]["text/plain"]
    assert "&lt;tag&gt;" in shown[-1]["text/html"]
    view.stop()
    assert "3/10" not in shown[-1]["text/plain"]
    assert "odd" in shown[-1]["text/plain"]
