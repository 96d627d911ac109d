"""Watches the pipeline's process: its events, its output, and how it ends."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kfdet.errors import InputError, KfdetError
from kfdet.events import COMMAND_VARIABLE, EVENTS_VARIABLE, stage_title
from kfdet.local.record import StageRecord

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_DISK = re.compile(
    r"No space left on device|Read-only file system|Disk quota exceeded|File too large"
)
_LAST_LINES = 10
_TAIL_BYTES = 8192
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0


class Watcher:
    """Starts the pipeline's process, follows its events and its output, and ends it.

    Args:
        folder: The run's folder.
        log: Gets the output of every stage.
        on_event: Gets every event.

    Attributes:
        stages: What happened to each stage, in the order in which they started.
        keys: Cache keys of the tasks that this run used.
    """

    def __init__(
        self, folder: Path, log: IO[bytes], on_event: Callable[[dict[str, Any]], None]
    ) -> None:
        self.stages: dict[str, StageRecord] = {}
        self.keys: set[str] = set()
        self._folder, self._log, self._on_event = folder, log, on_event
        self._tail = b""
        self._outputs: dict[str, Any] | None = None
        self._error: KfdetError | None = None
        self._unread = b""

    def watch(self, request: dict[str, Any], lock: int) -> dict[str, Any]:
        """Run the pipeline to its end and return its outputs.

        Args:
            request: What kfdet.local.process reads.
            lock: File descriptor that the process inherits, so that the folder stays locked.

        Raises:
            KfdetError: A stage failed, or a process crashed.
        """
        with (
            tempfile.TemporaryDirectory(prefix="kfdet-") as scratch,
            _named_pipe(Path(scratch, "events")) as events,
            _process(request, Path(scratch), lock) as process,
        ):
            self._read_until_end(process, events)
        if self._error is not None:
            raise self._error
        if self._outputs is None:
            raise self._crash_error("The pipeline", process.returncode)
        return self._outputs

    def _read_until_end(self, process: subprocess.Popen[bytes], events: int) -> None:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(events, selectors.EVENT_READ, self._read_events)
            selector.register(process.stdout, selectors.EVENT_READ, self._read_output)
            ended = False
            while self._error is None:
                ready = selector.select(0 if ended else _POLL_SECONDS)
                if ended and not ready:
                    break
                for key, _ in ready:
                    if not key.data(key.fd):
                        selector.unregister(key.fileobj)
                # not the end of its output: a stage that outlives it would hold that open
                ended = process.poll() is not None

    def _read_output(self, descriptor: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        plain = _COLOUR.sub(b"", data)
        self._tail = (self._tail + plain)[-_TAIL_BYTES:]
        with suppress(OSError):  # a full disk: the stage that fills it reports that
            self._log.write(plain)
            self._log.flush()
        return bool(data)

    def _read_events(self, descriptor: int) -> bool:
        *lines, self._unread = (self._unread + os.read(descriptor, 1 << 16)).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self._on_event(event)
            if event["event"] == "error":
                self._error = _error_from_event(event)
            elif event["event"] == "outputs":
                self._outputs = event["outputs"]
            elif event["event"] == "task":
                self._note_task(event)
        return True

    def _note_task(self, event: dict[str, Any]) -> None:
        stage = self.stages.setdefault(event["stage"], StageRecord(event["stage"]))
        if event["state"] in ("cached", "done"):
            self.keys.add(event["key"])
            stage.add(event["seconds"], event["finished"], cached=event["state"] == "cached")
        elif event["state"] == "failed" and self._error is None:
            who = f"Stage {stage_title(event['stage'])}"
            self._error = self._crash_error(who, event["returncode"])

    def _crash_error(self, who: str, returncode: int) -> KfdetError:
        """The error of a process that ended without an event that explains why."""
        number = -returncode if returncode < 0 else returncode - 128
        text = self._tail.decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
        disk = next((line for line in reversed(lines) if _DISK.search(line)), "")
        if disk:
            return InputError(
                f"{who} could not write: {disk.strip()}.",
                file=self._folder,
                hint="Free some space or choose another folder.",
            )
        if number == signal.SIGKILL:
            how = (
                "was killed (SIGKILL), most likely because memory ran out: try a smaller "
                "--batch-size or --longest-side"
            )
        elif number > 0 and number in {s.value for s in signal.Signals}:
            how = f"crashed ({signal.Signals(number).name})"
        else:
            how = f"ended with exit status {returncode}"
        if any(line.startswith("Traceback ") for line in text.splitlines()):
            return KfdetError(f"{who} {how}: {lines[-1]}")
        tail = "\n".join(f"  | {line}" for line in lines)
        return KfdetError(f"{who} {how}. The last lines of its output:\n{tail}")


def _error_from_event(event: dict[str, Any]) -> KfdetError:
    kind = InputError if event["exit_status"] == InputError.exit_status else KfdetError
    return kind(event["message"])


@contextmanager
def _named_pipe(path: Path) -> Iterator[int]:
    os.mkfifo(path, 0o600)
    # open for writing too: the pipe stays open between two writers
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _process(
    request: dict[str, Any], scratch: Path, lock: int
) -> Iterator[subprocess.Popen[bytes]]:
    """The pipeline's process; it and every stage are gone when the block ends, however it ends."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kfdet.local.process"),
            json.dumps({**request, "scratch": str(scratch)}),
        ],
        stdin=subprocess.PIPE,  # closes when this process dies, which ends the pipeline
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env={
            **os.environ,
            COMMAND_VARIABLE: request["command"],
            EVENTS_VARIABLE: str(scratch / "events"),
            "PYTHONSAFEPATH": "1",  # a folder "docker" here is not what kfp imports
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(scratch),  # kfp leaves a folder there for every task
        },
        pass_fds=[lock],
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
