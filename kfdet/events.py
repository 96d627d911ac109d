"""What a stage tells the person who waits: progress, warnings, and the one clear error.

A stage runs in a process of its own (a subprocess on one machine, a pod on a cluster). Where
`KFDET_EVENTS` names a file, events are appended to it as JSON lines and `kfdet run` draws them;
elsewhere they are printed as log lines. In a pod, the error is also left as the container's
termination message, where Kubernetes, Argo and `kfdet submit` look for the reason of a failure.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from kfdet.errors import InputError, KfdetError, Problem
from kfdet.files import os_hint
from kfdet.signals import sigterm_unwinds

EVENTS_VARIABLE = "KFDET_EVENTS"
_STAGE_VARIABLE = "KFDET_STAGE"  # in the environment, so that worker processes know it too
_TERMINATION_LOG = Path("/dev/termination-log")  # Kubernetes's default terminationMessagePath
_TERMINATION_BYTES = 4096  # Kubernetes keeps no more
_INTERVAL_SECONDS = {True: 0.2, False: 5.0}

_listeners: list[Callable[[dict[str, Any]], None]] = []
_names: dict[str, str] = {}
"""What a user calls a path that appears in messages."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def emit(kind: str, **fields: Any) -> None:
    """Append one event to the event file; where there is none, give it to the listener or print."""
    path = os.environ.get(EVENTS_VARIABLE)
    if isinstance(fields.get("message"), str):
        fields["message"] = _renamed(fields["message"])
    event = {
        "event": kind,
        "stage": running_stage(),
        "pid": os.getpid(),
        "time": time.time(),
        **fields,
    }
    if path:
        with open(path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a pipe keeps only short lines whole
            file.write(json.dumps(event) + "\n")
    elif _listeners:
        _listeners[-1](event)
    else:
        text = " ".join(f"{k}={v}" for k, v in fields.items() if v not in (None, ""))
        print(f"{kind}: {text}", file=sys.stderr, flush=True)


@contextmanager
def listening(listener: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Give the events of this process to `listener` while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def naming(path: Path, name: str) -> Iterator[None]:
    """Say `name` where an event or an InputError of the block says `path`, such as a local copy."""
    _names[str(path)] = name
    try:
        yield
    except InputError as error:
        raise InputError(
            _renamed(error.problem),
            file=_renamed(error.file),
            line=error.line,
            frame=error.frame,
            hint=_renamed(error.hint),
        ) from error
    finally:
        del _names[str(path)]


def named(problem: Problem) -> Problem:
    """The problem with the names of the block that this is called in."""
    return replace(
        problem,
        problem=_renamed(problem.problem),
        file=_renamed(problem.file),
        hint=_renamed(problem.hint),
    )


def _renamed(text: str) -> str:
    for path, name in _names.items():
        text = text.replace(path, name)
    return text


def running_stage() -> str:
    """Name of the stage that this process runs; "" outside stages."""
    return os.environ.get(_STAGE_VARIABLE, "")


def warn(message: str) -> None:
    """Tell the user something that does not stop the run."""
    emit("warning", message=message)


class Progress:
    """Counts `done` of `total` units of one task; `note` is free text such as the loss."""

    def __init__(self, task: str, total: int, unit: str) -> None:
        self.task, self.total, self.unit = task, total, unit
        self.done = 0
        self._last = 0.0
        self._interval = _INTERVAL_SECONDS[EVENTS_VARIABLE in os.environ or bool(_listeners)]

    def update(self, done: int, note: str = "") -> None:
        """Report that `done` units are finished; events are spaced, the last one always leaves."""
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

    def advance(self, by: int = 1, note: str = "") -> None:
        """Report that `by` more units are finished."""
        self.update(self.done + by, note)


def track(items: Iterable[T], task: str, total: int, unit: str) -> Iterator[T]:
    """Yield `items` and report each one as done."""
    progress = Progress(task, total, unit)
    for item in items:
        yield item
        progress.advance()


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as the stage `name`: times it, and ends the process with a clear error."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.monotonic()
            os.environ[_STAGE_VARIABLE] = name
            emit("start", stage=name)
            try:
                with sigterm_unwinds():
                    result = function(*args, **kwargs)
            except Exception as error:
                clear = _clear(error)
                _leave_message(str(clear) if clear else f"{type(error).__name__}: {error}")
                if clear is None:
                    raise
                emit("error", stage=name, message=str(clear), exit_status=clear.exit_status)
                sys.exit(clear.exit_status)
            finally:
                os.environ.pop(_STAGE_VARIABLE, None)
            emit("end", stage=name, seconds=round(time.monotonic() - started, 3))
            return result

        return run

    return decorate


def _clear(error: Exception) -> KfdetError | None:
    """The error as its user should read it; None where nobody has thought of it."""
    if isinstance(error, KfdetError):
        return error
    if isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        return InputError(
            f"{error.strerror or error}.", file=error.filename or "", hint=os_hint(error)
        )
    return None


def _leave_message(text: str) -> None:
    """Make `text` the termination message of this container; nothing where there is no pod."""
    with suppress(OSError):
        if _TERMINATION_LOG.exists():
            kept = text.encode()[:_TERMINATION_BYTES].decode(errors="ignore")
            _TERMINATION_LOG.write_text(kept, encoding="utf-8")
