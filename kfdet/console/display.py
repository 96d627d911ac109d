"""Progress of long work, drawn from events: in a terminal, in a notebook, or as lines of a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape

from kfdet.console.printable import SafeConsole
from kfdet.console.views import Bar, LogView, NotebookView, TerminalView
from kfdet.events import stage_title

_PARALLEL = {"interpolation", "frame_extraction"}
"""The stages that run once per group, at the same time."""

_COUNTED = {**dict.fromkeys(_PARALLEL, "groups"), "training": "settings"}
"""What a stage that has several tasks runs once for."""


class View(Protocol):
    """Where progress appears. Called by one thread at a time."""

    def start(self) -> None:
        """Begin to draw."""

    def stop(self) -> None:
        """End, without bars left behind."""

    def line(self, markup: str) -> None:
        """Add a permanent line."""

    def show(self, bars: list[Bar]) -> None:
        """Draw the work that goes on now."""

    def begin(self, title: str) -> None:
        """A stage starts."""

    def tick(self, bars: list[Bar]) -> None:
        """Called about every second, whether or not something has happened."""


@dataclass
class _Stage:
    """What is known of one stage: how many of its tasks run, have ended, came from the cache."""

    bar: Bar
    running: int = 0
    ended: int = 0
    cached: int = 0
    seconds: float = 0.0
    printed: bool = False
    tasks: dict[str, _Task] = field(default_factory=dict)


@dataclass
class _Task:
    """Progress of one task of a stage, added up over the processes that share it."""

    bar: Bar
    processes: dict[int, tuple[float, float]] = field(default_factory=dict)


@contextmanager
def show_events(console: Console | None = None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Draw progress while the block runs; gives the listener that takes the events to draw.

    Args:
        console: Where to draw: bars in a terminal, an output area in a notebook, lines in a file.
            By default the notebook, or else standard error.
    """
    display = Display(console or SafeConsole(stderr=True, highlight=False))
    with display.live():
        yield display.event


class Display:
    """Draws the events of a run, or of a command without stages."""

    def __init__(self, console: Console) -> None:
        self._view = _view(console)
        self._stages: dict[str, _Stage] = {}
        self._warnings: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw while the block runs."""
        stopped = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stopped,), daemon=True)
        self._view.start()
        ticker.start()
        try:
            yield
        finally:
            stopped.set()
            ticker.join()
            for name in self._stages:
                self._print(name)
            self._view.stop()

    def event(self, event: dict[str, Any]) -> None:
        """Take one event of kfdet.events into account."""
        with self._lock:
            kind = event["event"]
            if kind == "warning" and event["message"] not in self._warnings:
                self._warnings.add(event["message"])
                self._view.line(f"[yellow]warning:[/] {escape(event['message'])}")
            elif kind == "info":
                self._view.line(escape(event["message"]))
            elif kind == "task":
                self._task(event)
            elif kind == "progress":
                self._advance(event)
            else:
                return
            self._view.show(self._bars())

    def _tick(self, stopped: threading.Event) -> None:
        while not stopped.wait(1):
            with self._lock:
                self._view.tick(self._bars())

    def _bars(self) -> list[Bar]:
        """The tasks that go on; a running stage between two tasks is shown by its name alone."""
        bars = []
        for name, stage in self._stages.items():
            tasks = [task.bar for task in stage.tasks.values() if not task.bar.complete]
            if stage.running or not name:
                bars += tasks or ([stage.bar] if name else [])
        return bars

    def _task(self, event: dict[str, Any]) -> None:
        name, state = event["stage"], event["state"]
        if name not in self._stages:
            for earlier in self._stages:
                if not {earlier, name} <= _PARALLEL:
                    self._print(earlier)
            self._stages[name] = _Stage(Bar(stage_title(name)))
        stage = self._stages[name]
        if state == "started":
            if not stage.running:
                stage.bar.started = time.monotonic()
                self._view.begin(stage.bar.title)
            stage.running += 1
        elif state == "cached":
            stage.ended += 1
            stage.cached += 1
        elif state == "done":
            stage.running -= 1
            stage.ended += 1
            stage.seconds += event["seconds"]

    def _advance(self, event: dict[str, Any]) -> None:
        name, what = event["stage"], event["task"]
        if not name:  # a command without stages
            self._stages.setdefault("", _Stage(Bar("")))
        stage = self._stages.get(name)
        if stage is None:
            return
        if what not in stage.tasks:
            title = stage_title(name)
            if what not in {name, title}:
                title = f"{title}: {what}" if title else what
            stage.tasks[what] = _Task(Bar(title, unit=event["unit"]))
        task = stage.tasks[what]
        task.processes[event["pid"]] = (event["done"], event["total"])
        done, total = (sum(values) for values in zip(*task.processes.values(), strict=True))
        task.bar.update(done, total, event.get("note", ""))

    def _print(self, name: str) -> None:
        stage = self._stages[name]
        if not name or stage.printed or stage.running or not stage.ended:
            return
        stage.printed = True
        times = "unchanged" if stage.cached == stage.ended else f"{stage.seconds:.1f} s"
        count = f" ({stage.ended} {_COUNTED.get(name, 'tasks')})" if stage.ended > 1 else ""
        self._view.line(f"  {stage.bar.title:<18}{times:>12}{count}")


def _view(console: Console) -> View:
    if console.is_jupyter:
        return NotebookView()
    return TerminalView(console) if console.is_terminal else LogView(console)
