"""Watch a run on a cluster: every stage as `kfdet run` shows it, and why a pod waits or failed."""

from __future__ import annotations

import re
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfdet.errors import KfdetError
from kfdet.kubeflow.backend import Answer, Backend, UnreachableError
from kfdet.kubeflow.reasons import hint, with_hint
from kfdet.kubeflow.workflow import Progress, Task, read_workflow
from kfdet.run_display import Display, stage_title

_POLL_SECONDS = 2.0
_LOG_SECONDS = 6.0
"""Between two looks at what a running pod prints."""
_PATIENCE_SECONDS = 180.0
"""How long the API server may be away."""

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
        KfdetError: It failed or was cancelled; says which stage and why. Or the API server is away.
    """
    watcher = _Watcher(backend, run_id, display)
    away = 0.0
    with display.live():
        while True:
            started = time.monotonic()
            try:
                run = backend.run(run_id)
                workflow = backend.workflow(run_id)
                watcher.look(read_workflow(workflow))
                away = 0.0
            except UnreachableError:
                away = away or started
                if time.monotonic() - away > _PATIENCE_SECONDS:
                    raise
                run = {}
            if run.get("state") in _ENDED:
                break
            time.sleep(_POLL_SECONDS)
        display.finish()
    progress = read_workflow(workflow)
    if run["state"] != "SUCCEEDED":
        raise failure(backend, run, progress)
    return Ended(run, workflow, progress)


class _Watcher:
    """Turns what has changed between two looks into events."""

    def __init__(self, backend: Backend, run_id: str, display: Display) -> None:
        self._backend, self._run_id, self._display = backend, run_id, display
        self._tasks: dict[str, Task] = {}
        self._running: set[str] = set()
        self._read: dict[str, float] = {}

    def look(self, progress: Progress) -> None:
        for task in progress.tasks:
            before = self._tasks.get(task.key)
            if task != before:
                self._tell(task, before)
                self._tasks[task.key] = task
            if task.state == "running":
                self._read_log(task)

    def _tell(self, task: Task, before: Task | None) -> None:
        title = stage_title(task.stage)
        if task.state == "running" or (task.state == "pending" and task.pod):
            if task.key not in self._running:
                self._running.add(task.key)
                self._event("task", stage=task.stage, state="started")
        elif task.state == "cached" and (before is None or before.state != "cached"):
            self._event("task", stage=task.stage, state="cached")
        elif task.state == "succeeded" and (before is None or before.state != "succeeded"):
            if task.key not in self._running:  # it came and went between two looks
                self._event("task", stage=task.stage, state="started")
            self._event("task", stage=task.stage, state="done", seconds=task.seconds)
        if task.state == "pending" and task.message:
            if task.seconds:
                text = f"{title}, attempt {task.attempt} failed and is tried again: "
            else:
                text = f"{title} waits: "
            if task.seconds or hint(task.message):
                self._event(
                    "warning", message=text + with_hint(_reason(self._backend, self._run_id, task))
                )

    def _read_log(self, task: Task) -> None:
        now = time.monotonic()
        if now - self._read.get(task.pod, 0.0) < _LOG_SECONDS:
            return
        self._read[task.pod] = now
        for event in log_events(self._backend.log(self._run_id, task.pod), task):
            self._display.event(event)

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


def failure(backend: Backend, run: Answer, progress: Progress) -> KfdetError:
    """The error of a run that has not ended well: which stage and why, in the stage's own words."""
    run_id = run["run_id"]
    if run["state"] == "CANCELED":
        return KfdetError("The run was cancelled.")
    failed = [task for task in progress.tasks if task.state == "failed"]
    for task in failed:
        title = stage_title(task.stage)
        return KfdetError(f"Stage {title} failed: {with_hint(_reason(backend, run_id, task))}")
    said = (run.get("error") or {}).get("message", "")
    return KfdetError(f"The run failed: {with_hint(progress.trouble or said or 'no reason given')}")


def _reason(backend: Backend, run_id: str, task: Task) -> str:
    """Why a pod failed: its termination message, else the last words in its log."""
    if not _BARE.fullmatch(task.message):
        return task.message
    return last_words(backend.log(run_id, task.pod)) or task.message or "it gave no reason"


def last_words(log: str) -> str:
    """The error at the end of a pod's log; "" where there is none."""
    for pattern in _LAST_WORDS:
        found = pattern.findall(log)
        if found:
            return str(found[-1]).strip()
    return ""
