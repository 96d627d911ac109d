"""Watch a run on a cluster: its events as those of a local run, and why a pod waits or failed."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfdet.errors import KfdetError
from kfdet.events import parse_event, stage_title
from kfdet.kubeflow.backend import Answer, Backend, BackendUnreachableError
from kfdet.kubeflow.hints import hint, with_hint
from kfdet.kubeflow.logs import Logs
from kfdet.kubeflow.workflow import WorkflowProgress, WorkflowTask, read_workflow

_POLL_SECONDS = 2.0
_LOG_SECONDS = 6.0
"""Between two reads of a running pod's log."""
_PATIENCE_SECONDS = 180.0
"""How long the API server may be unreachable."""
_STARTING_SECONDS = 30.0
"""How long a pod may wait for the same before it is reported; every pod waits while it starts."""

ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
"""States of a run that does not go on."""
_ERRORS = (
    re.compile(r"^[EF]\d{4} \S+ +\d+ \S+\] (.*)$", re.MULTILINE),  # KFP's driver and launcher
    re.compile(r"^(\w[\w.]*(?:Error|Exception): .*)$", re.MULTILINE),  # the end of a traceback
)
_WITHOUT_REASON = re.compile(r"\w* ?\(exit code \d+\)|")

Listener = Callable[[dict[str, Any]], None]


class RunFailedError(KfdetError):
    """The run failed or was cancelled."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has succeeded.

    Args:
        run: The run as the API describes it.
        workflow: Its Argo workflow.
        progress: Its stages.
    """

    run: Answer
    workflow: Answer
    progress: WorkflowProgress

    @property
    def seconds(self) -> float:
        """The time from its start to its end."""
        start, end = (datetime.fromisoformat(self.run[n]) for n in ("created_at", "finished_at"))
        return (end - start).total_seconds()


def follow(backend: Backend, run_id: str, on_event: Listener) -> FinishedRun:
    """Report a run's events until it has ended.

    Args:
        backend: The API server.
        run_id: The run.
        on_event: Gets each event, a dict as in kfdet.events.

    Raises:
        RunFailedError: The run failed or was cancelled; the message names the stage and the reason.
        KfdetError: The API server stays unreachable or refuses access; the run goes on.
    """
    follower = _Follower(backend, run_id, on_event)
    unreachable_since = 0.0
    while True:
        try:
            run = follower.poll()
        except BackendUnreachableError:
            unreachable_since = unreachable_since or time.monotonic()
            if time.monotonic() - unreachable_since > _PATIENCE_SECONDS:
                raise
        else:
            unreachable_since = 0.0
            if run.get("state") in ENDED:
                break
        time.sleep(_POLL_SECONDS)
    if run["state"] != "SUCCEEDED":
        raise follower.failure(run)
    return FinishedRun(run, follower.workflow, follower.progress)


class _Follower:
    """Polls a run and reports what has changed since the last poll."""

    def __init__(self, backend: Backend, run_id: str, on_event: Listener) -> None:
        self.workflow: Answer = {}
        self.progress = read_workflow(self.workflow)
        self._backend, self._run_id, self._on_event = backend, run_id, on_event
        self._logs = Logs(backend)
        self._tasks: dict[str, WorkflowTask] = {}
        self._warnings: set[str] = set()
        self._started: set[str] = set()
        self._waiting: dict[str, tuple[str, float]] = {}
        self._read: dict[str, float] = {}

    def poll(self) -> Answer:
        """Read the run from the API and report its changes; returns the run."""
        run = self._backend.run(self._run_id)
        self.workflow = self._backend.workflow(self._run_id)
        self.progress = read_workflow(self.workflow)
        for task in self.progress.tasks:
            before = self._tasks.get(task.key)
            self._tasks[task.key] = task
            if task != before:
                self._report_state(task, before.state if before else "")
            if task.state == "pending" and task.message and not task.seconds:
                self._report_waiting(task)
            if task.state == "running":
                self._report_log(task)
        return run

    def failure(self, run: Answer) -> RunFailedError:
        """Why a run did not succeed: the stage, and the reason that it gave."""
        if run["state"] == "CANCELED":
            return RunFailedError("The run was cancelled.")
        for task in self.progress.tasks:
            if task.state == "failed":
                why = with_hint(self._reason(task), task.stage)
                return RunFailedError(f"Stage {stage_title(task.stage)} failed: {why}")
        reason = self.progress.trouble or (run.get("error") or {}).get("message", "")
        return RunFailedError(f"The run failed: {with_hint(reason or 'no reason given')}")

    def _report_state(self, task: WorkflowTask, before: str) -> None:
        if task.attempt and task.key not in self._started:
            self._started.add(task.key)
            self._event("task", stage=task.stage, state="started")
        if task.state == "cached" != before:
            self._event("task", stage=task.stage, state="cached")
        elif task.state == "succeeded" != before:
            self._event("task", stage=task.stage, state="done", seconds=task.seconds)
        elif task.state == "pending" and task.message and task.seconds:  # its last pod has worked
            title = f"{stage_title(task.stage)}: attempt {task.attempt} failed, trying again: "
            self._warn(title + with_hint(self._reason(task), task.stage))

    def _report_waiting(self, task: WorkflowTask) -> None:
        """Report what a pod waits for: at once where the user can help, else if it lasts."""
        now = time.monotonic()
        message, since = self._waiting.get(task.key, ("", now))
        if message != task.message:
            since = now
        self._waiting[task.key] = task.message, since
        if hint(task.message) or now - since >= _STARTING_SECONDS:
            self._warn(f"{stage_title(task.stage)} waits: {with_hint(task.message, task.stage)}")

    def _report_log(self, task: WorkflowTask) -> None:
        """Report the warnings and the progress that a running pod has printed."""
        now = time.monotonic()
        if now - self._read.get(task.pod, 0.0) < _LOG_SECONDS:
            return
        self._read[task.pod] = now
        events = list(log_events(self._log(task)))
        for event in events:
            if event["event"] == "warning":
                self._warn(event["message"])
        for event in [event for event in events if event["event"] == "progress"][-1:]:
            # the IDs of processes repeat between pods
            self._on_event(event | {"pid": zlib.crc32(task.pod.encode())})

    def _reason(self, task: WorkflowTask) -> str:
        """Why a pod failed: its termination message, else the last error in its log."""
        if not _WITHOUT_REASON.fullmatch(task.message):
            return task.message
        return last_error(self._log(task)) or task.message or "it gave no reason"

    def _log(self, task: WorkflowTask) -> str:
        return self._logs.read(self.workflow, self._run_id, task.pod)

    def _event(self, kind: str, **fields: Any) -> None:
        self._on_event({"event": kind, **fields})

    def _warn(self, message: str) -> None:
        """Report a warning, once."""
        if message not in self._warnings:
            self._warnings.add(message)
            self._event("warning", message=message)


def log_events(log: str) -> Iterator[dict[str, Any]]:
    """The events in a pod's log, between the lines of other programs."""
    for line in log.splitlines():
        if event := parse_event(line):
            yield event


def last_error(log: str) -> str:
    """The error at the end of a pod's log; "" where there is none."""
    messages = [event["message"] for event in log_events(log) if event["event"] == "error"]
    for pattern in _ERRORS:
        messages = messages or pattern.findall(log)
    return str(messages[-1]).strip() if messages else ""
