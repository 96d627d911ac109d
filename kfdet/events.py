"""What is reported while work goes on: progress, warnings, and the one clear error.

A stage runs in a process of its own (a subprocess on one machine, a container on a cluster), and
its events leave it as JSON lines: appended to the file that `KFDET_EVENTS` names, or else on
standard error, where `kfdet submit` reads them from the log of the pod. Outside of a stage events
go to the listener; without one, messages go to the logger "kfdet" and progress is silent.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from kfdet.errors import InputError, Problem

EVENTS_VARIABLE = "KFDET_EVENTS"
STAGE_VARIABLE = "KFDET_STAGE"
"""Names the stage that a process runs; in the environment, so that worker processes inherit it."""
COMMAND_VARIABLE = "KFDET_COMMAND"
"""Holds the command that made a run, for its report; a parameter would be part of cache keys."""

_INTERVAL_SECONDS = {True: 0.2, False: 5.0}
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_listeners: list[Callable[[dict[str, Any]], None]] = []
_aliases: dict[str, str] = {}
"""What a user calls a path that appears in messages."""

T = TypeVar("T")


def emit(kind: str, **fields: Any) -> None:
    """Send one event to whoever follows this process: see the module's description."""
    if isinstance(fields.get("message"), str):
        fields["message"] = _with_aliases(fields["message"])
    event = {
        "event": kind,
        "stage": running_stage(),
        "pid": os.getpid(),
        "time": time.time(),
        **fields,
    }
    if path := os.environ.get(EVENTS_VARIABLE):
        with open(path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a pipe keeps only short lines whole
            file.write(json.dumps(event) + "\n")
    elif _listeners:
        _listeners[-1](event)
    elif running_stage():
        sys.stderr.write(json.dumps(event) + "\n")  # in one call, so that threads do not mix lines
        sys.stderr.flush()
    elif kind in _LEVELS:
        logging.getLogger("kfdet").log(_LEVELS[kind], "%s", fields["message"])


def timestamp() -> str:
    """The time as ISO 8601 in UTC with milliseconds; later ones come later in the alphabet, too."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def parse_event(line: str) -> dict[str, Any] | None:
    """The event in a line of a process's output; None where the line is something else.

    Another program's progress bar, which ends without a line break, may precede the event.
    """
    start = line.find('{"event": "')
    if start < 0:
        return None
    try:
        event: dict[str, Any] = json.loads(line[start:])
    except ValueError:  # cut off
        return None
    return event


@contextmanager
def listening(listener: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Give the events of this process to `listener` while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def path_alias(path: Path, name: str) -> Iterator[None]:
    """Write `name` instead of `path`, such as a local copy, in events and InputErrors of the block.

    Raises:
        InputError: The block's own, with the name.
    """
    _aliases[str(path)] = name
    try:
        yield
    except InputError as error:
        raise InputError(
            _with_aliases(error.problem),
            file=_with_aliases(error.file),
            line=error.line,
            frame=error.frame,
            hint=_with_aliases(error.hint),
        ) from error
    finally:
        del _aliases[str(path)]


def with_aliases(problem: Problem) -> Problem:
    """The problem, with the aliases of the block that this is called in."""
    return replace(
        problem,
        problem=_with_aliases(problem.problem),
        file=_with_aliases(problem.file),
        hint=_with_aliases(problem.hint),
    )


def _with_aliases(text: str) -> str:
    aliases = tuple(_aliases.items())  # another thread may add one meanwhile
    for path, name in sorted(aliases, key=lambda alias: -len(alias[0])):
        text = text.replace(path, name)
    return text


def running_stage() -> str:
    """Name of the stage that this process runs; "" outside stages."""
    return os.environ.get(STAGE_VARIABLE, "")


def stage_title(stage: str) -> str:
    """A stage's name as a person reads it."""
    return stage.replace("_", " ").replace("tfrecord", "TFRecord")


def warn(message: str) -> None:
    """Report something that the user should know and that does not stop the run."""
    emit("warning", message=message)


class Progress:
    """Counts `done` of `total` units of one task; several threads may advance it.

    Args:
        task: What is done, as a person reads it.
        total: Number of units.
        unit: Name of the units in the plural.
    """

    def __init__(self, task: str, total: int, unit: str) -> None:
        self.task, self.total, self.unit = task, total, unit
        self.done = 0
        self._lock = threading.Lock()
        self._last = 0.0
        self._interval = _INTERVAL_SECONDS[EVENTS_VARIABLE in os.environ or bool(_listeners)]

    def update(self, done: int, note: str = "") -> None:
        """Report that `done` units are finished; events are spaced, the last one is always sent.

        Args:
            done: Number of finished units.
            note: Free text such as the loss.
        """
        with self._lock:
            self._update(done, note)

    def advance(self, by: int = 1, note: str = "") -> None:
        """Report that `by` more units are finished."""
        with self._lock:
            self._update(self.done + by, note)

    def _update(self, done: int, note: str) -> None:
        self.done = done
        now = time.monotonic()
        if now - self._last >= self._interval or done >= self.total:
            self._last = now
            emit(
                "progress",
                task=self.task,
                done=done,
                total=self.total,
                unit=self.unit,
                note=note,
            )


def track(items: Iterable[T], task: str, total: int, unit: str) -> Iterator[T]:
    """Yield `items` and report each one as done."""
    progress = Progress(task, total, unit)
    for item in items:
        yield item
        progress.advance()
