"""Watch a run on a cluster: every stage as `kfdet run` shows it, and why a pod waits or failed."""

from __future__ import annotations

import re
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfdet.console.display import Display, stage_title
from kfdet.errors import KfdetError
from kfdet.kubeflow.backend import Answer, Backend, UnreachableError
from kfdet.kubeflow.hints import hint, with_hint
from kfdet.kubeflow.logs import Logs
from kfdet.kubeflow.workflow import Progress, Task, read_workflow

_POLL_SECONDS = 2.0
_LOG_SECONDS = 6.0
"""Between two looks at what a running pod prints."""
_PATIENCE_SECONDS = 180.0
"""How long the API server may be away."""
_STARTING_SECONDS = 30.0
"""How long a pod may say the same before it is shown; it says something whenever it starts."""

_ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_PROGRESS = re.compile(
    r"^progress: task=(?P<task>.*) done=(?P<done>\d+) total=(?P<total>\d+) unit=(?P<unit>.*?)"
    r"(?: note=(?P<note>.*))?$",
    re.MULTILINE,
)
_WARNING = re.compile(r"^warning: message=(.*)$", re.MULTILINE)
_LAST_WORDS = (
    re.compile(r"^error: .*?message=(.*?)(?: exit_status=\d+)?$", re.MULTILINE),  # kfdet.events
    re.compile(r"^[EF]\d{4} \S+ +\d+ \S+\] (.*)$", re.MULTILINE),  # KFP's driver and launcher
    re.compile(r"^(\w[\w.]*(?:Error|Exception): .*)$", re.MULTILINE),  # the end of a traceback
)
_BARE = re.compile(r"\w* ?\(exit code \d+\)|")


class RunFailedError(KfdetError):
    """The run has ended, and not well."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended well.

    Args:
        run: What the API says of it.
        workflow: Its Argo workflow.
        progress: Its stages.
    """

    run: Answer
    workflow: Answer
    progress: Progress

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        start, end = (datetime.fromisoformat(self.run[n]) for n in ("created_at", "finished_at"))
        return (end - start).total_seconds()


def follow(backend: Backend, run_id: str, display: Display) -> Ended:
    """Show a run's stages until it has ended.

    Raises:
        RunFailedError: It failed or was cancelled; says which stage and why.
        KfdetError: The API server stays away, or does not let one in any more; the run goes on.
    """
    watcher = _Watcher(backend, run_id, display)
    away = 0.0
    with display.live():
        while True:
            try:
                run = watcher.look()
            except UnreachableError:
                away = away or time.monotonic()
                if time.monotonic() - away > _PATIENCE_SECONDS:
                    raise
            else:
                away = 0.0
                if run.get("state") in _ENDED:
                    break
            time.sleep(_POLL_SECONDS)
        display.finish()
    if run["state"] != "SUCCEEDED":
        raise watcher.failure(run)
    return Ended(run, watcher.workflow, watcher.progress)


class _Watcher:
    """Looks at a run and turns what has changed since the last look into events."""

    def __init__(self, backend: Backend, run_id: str, display: Display) -> None:
        self.workflow: Answer = {}
        self.progress = read_workflow(self.workflow)
        self._backend, self._run_id, self._display = backend, run_id, display
        self._logs = Logs(backend)
        self._tasks: dict[str, Task] = {}
        self._started: set[str] = set()
        self._waiting: dict[str, tuple[str, float]] = {}
        self._read: dict[str, float] = {}

    def look(self) -> Answer:
        """What the API says of the run; its changes are shown."""
        run = self._backend.run(self._run_id)
        self.workflow = self._backend.workflow(self._run_id)
        self.progress = read_workflow(self.workflow)
        for task in self.progress.tasks:
            before = self._tasks.get(task.key)
            self._tasks[task.key] = task
            if task != before:
                self._tell(task, before.state if before else "")
            if task.state == "pending" and task.message and not task.seconds:
                self._tell_waiting(task)
            if task.state == "running":
                self._tell_progress(task)
        return run

    def failure(self, run: Answer) -> RunFailedError:
        """Why a run has not ended well: which stage, and its own words."""
        if run["state"] == "CANCELED":
            return RunFailedError("The run was cancelled.")
        for task in self.progress.tasks:
            if task.state == "failed":
                why = with_hint(self._reason(task), task.stage)
                return RunFailedError(f"Stage {stage_title(task.stage)} failed: {why}")
        said = self.progress.trouble or (run.get("error") or {}).get("message", "")
        return RunFailedError(f"The run failed: {with_hint(said or 'no reason given')}")

    def _tell(self, task: Task, before: str) -> None:
        if task.attempt and task.key not in self._started:
            self._started.add(task.key)
            self._event("task", stage=task.stage, state="started")
        if task.state == "cached" != before:
            self._event("task", stage=task.stage, state="cached")
        elif task.state == "succeeded" != before:
            self._event("task", stage=task.stage, state="done", seconds=task.seconds)
        elif task.state == "pending" and task.message and task.seconds:  # its last pod has worked
            title = f"{stage_title(task.stage)}, attempt {task.attempt} failed and is tried again: "
            self._event("warning", message=title + with_hint(self._reason(task), task.stage))

    def _tell_waiting(self, task: Task) -> None:
        """Show what a pod waits for: at once where one can do something, else if it stays."""
        now = time.monotonic()
        message, since = self._waiting.get(task.key, ("", now))
        if message != task.message:
            since = now
        self._waiting[task.key] = task.message, since
        if hint(task.message) or now - since >= _STARTING_SECONDS:
            text = f"{stage_title(task.stage)} waits: {with_hint(task.message, task.stage)}"
            self._event("warning", message=text)  # the display shows it once

    def _tell_progress(self, task: Task) -> None:
        now = time.monotonic()
        if now - self._read.get(task.pod, 0.0) < _LOG_SECONDS:
            return
        self._read[task.pod] = now
        for event in log_events(self._log(task), task):
            self._display.event(event)

    def _reason(self, task: Task) -> str:
        """Why a pod failed: its termination message, else the last words in its log."""
        if not _BARE.fullmatch(task.message):
            return task.message
        return last_words(self._log(task)) or task.message or "it gave no reason"

    def _log(self, task: Task) -> str:
        return self._logs.read(self.workflow, self._run_id, task.pod)

    def _event(self, kind: str, **fields: Any) -> None:
        self._display.event({"event": kind, **fields})


def log_events(log: str, task: Task) -> list[dict[str, Any]]:
    """The warnings and the latest progress in the log of a pod that runs `task`."""
    events: list[dict[str, Any]] = [
        {"event": "warning", "message": found[1]} for found in _WARNING.finditer(log)
    ]
    if found := list(_PROGRESS.finditer(log)):
        latest = found[-1]
        events.append(
            {
                "event": "progress",
                "stage": task.stage,
                "pid": zlib.crc32(task.pod.encode()),
                "task": latest["task"],
                "done": int(latest["done"]),
                "total": int(latest["total"]),
                "unit": latest["unit"],
                "note": latest["note"] or "",
            }
        )
    return events


def last_words(log: str) -> str:
    """The error at the end of a pod's log; "" where there is none."""
    for pattern in _LAST_WORDS:
        found = pattern.findall(log)
        if found:
            return str(found[-1]).strip()
    return ""
