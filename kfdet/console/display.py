"""What `kfdet run` shows while the pipeline works: a live bar a task, a lasting line a stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from kfdet.events import stage_title

STAGES = (
    "planning",
    "interpolation",
    "frame_extraction",
    "negative_mining",
    "tfrecord_build",
    "training",
    "export",
    "evaluation",
)
_LOOP = {"interpolation", "frame_extraction"}
"""The stages that run once a group, at the same time."""


class _Count(ProgressColumn):
    """How much is done of how much, with its unit; bytes in kB, MB or GB."""

    def render(self, task: Task) -> Text:
        unit, total = task.fields["unit"], task.total
        if unit == "bytes":
            return Text(f"{decimal(int(task.completed))}/{decimal(int(total or 0))}")
        return Text(f"{task.completed:.0f}/{'?' if total is None else f'{total:.0f}'} {unit}")


@dataclass
class StageState:
    """What is known of one stage: how many of its tasks run, ended, came from the cache."""

    running: int = 0
    ended: int = 0
    cached: int = 0
    seconds: float = 0.0
    row: TaskID | None = None
    bars: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)


class Display:
    """Draws the events of a run; usable without a terminal, where only the lasting lines appear."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: dict[str, StageState] = {}
        self._said: set[str] = set()
        self._printed: set[str] = set()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            _Count(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the bars while the block runs."""
        with self._progress:
            yield

    def event(self, event: dict[str, Any]) -> None:
        """Take one event of kfdet.events into account."""
        kind = event["event"]
        if kind == "warning" and event["message"] not in self._said:
            self._said.add(event["message"])
            self.console.print(
                f"[yellow]warning:[/] {escape(event['message'])}", highlight=False, soft_wrap=True
            )
        elif kind == "task":
            self._task(event)
        elif kind == "progress":
            self._advance(event)

    def finish(self) -> None:
        """Print the line of every stage that has ended."""
        for name in self.stages:
            self._print(name)

    def _task(self, event: dict[str, Any]) -> None:
        name, state = event["stage"], event["state"]
        if name not in self.stages:
            for earlier in self.stages:
                if not {earlier, name} <= _LOOP:
                    self._print(earlier)
            self.stages[name] = StageState()
        stage = self.stages[name]
        if state == "started":
            stage.running += 1
            self._show(name, stage)
        elif state == "cached":
            stage.ended += 1
            stage.cached += 1
        elif state == "done":
            stage.running -= 1
            stage.ended += 1
            stage.seconds += event["seconds"]

    def _advance(self, event: dict[str, Any]) -> None:
        if not event["stage"]:  # of a command that has no stages
            self._show("", self.stages.setdefault("", StageState()))
        stage = self.stages.get(event["stage"])
        if stage is None or stage.row is None:
            return
        stage.bars[event["task"], event["pid"]] = (event["done"], event["total"])
        bars = [bar for (task, _), bar in stage.bars.items() if task == event["task"]]
        title = stage_title(event["stage"])
        if event["task"] not in {event["stage"], title}:
            title = f"{title}: {event['task']}" if title else event["task"]
        self._progress.update(
            stage.row,
            description=escape(title),
            completed=sum(done for done, _ in bars),
            total=sum(total for _, total in bars),
            unit=escape(event["unit"]),
            note=escape(event.get("note", "")),
        )

    def _show(self, name: str, stage: StageState) -> None:
        if stage.row is None:
            stage.row = self._progress.add_task(stage_title(name), total=None, unit="", note="")

    def _print(self, name: str) -> None:
        stage = self.stages[name]
        if name in self._printed or stage.running or not stage.ended:
            return
        self._printed.add(name)
        if stage.row is not None:
            self._progress.remove_task(stage.row)
        times = "unchanged" if stage.cached == stage.ended else f"{stage.seconds:.1f} s"
        count = f" ({stage.ended} groups)" if name in _LOOP and stage.ended > 1 else ""
        self.console.print(f"  {stage_title(name):<18}{times:>12}{count}", highlight=False)
