"""`kfdet run`: the training pipeline on this machine, in one folder.

The pipeline runs in a process of its own (kfdet.local.process), which runs each stage in a
process of its own. Their events come back through a named pipe and their output goes to run.log,
both read here, so that a full disk cannot swallow the message that says so.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from kfdet.console.display import Display
from kfdet.errors import InputError, KfdetError
from kfdet.events import EVENTS_VARIABLE
from kfdet.files import atomic_file, explain_os_error
from kfdet.local.folder import (
    ARTIFACTS,
    CACHE,
    CHECKPOINTS,
    LOG,
    RECORD,
    TENSORBOARD,
    check_places,
    locked,
    prune,
    prune_checkpoints,
    publish,
)
from kfdet.local.record import code_version, dataset_version, hashes, versions
from kfdet.parameters import Parameters
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.listing import dataset_version as bucket_version

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_DISK = re.compile(
    r"No space left on device|Read-only file system|Disk quota exceeded|File too large"
)
_LAST_LINES = 10
_TAIL_BYTES = 8192
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0


def run(dataset: str, folder: Path, parameters: Parameters, console: Console) -> dict[str, Any]:
    """Run the whole pipeline on `dataset`; the outputs appear in `folder` under fixed names.

    Stages whose inputs have not changed since the last run in `folder` are not run again.

    Args:
        dataset: Folder with videos or images and their annotations, or its bucket URI.
        folder: The run's folder; made where it is absent.
        parameters: What to turn.
        console: Where progress is drawn.

    Returns:
        The record that is written to run.json.

    Raises:
        InputError: Bad input, or a folder that cannot be written; says what to do.
        KfdetError: A stage failed; names the log.
        KeyboardInterrupt: Every process of the run has been ended; the same call continues.
    """
    started = time.monotonic()
    remote = is_bucket_uri(dataset)
    check_places(None if remote else Path(dataset), folder)
    dataset, folder = dataset if remote else str(Path(dataset).resolve()), folder.resolve()
    try:
        with locked(folder) as lock, open(folder / LOG, "wb") as log:
            return _run(dataset, folder, parameters, console, log, lock, started)
    except OSError as error:
        raise explain_os_error(error, Path(error.filename or folder)) from error


def _run(
    dataset: str,
    folder: Path,
    parameters: Parameters,
    console: Console,
    log: IO[bytes],
    lock: int,
    started: float,
) -> dict[str, Any]:
    version = bucket_version(dataset) if is_bucket_uri(dataset) else dataset_version(Path(dataset))
    cache = folder / ARTIFACTS / CACHE / code_version()
    prune(folder / ARTIFACTS)
    for name in (CHECKPOINTS, TENSORBOARD):
        (folder / name).mkdir(exist_ok=True)
    if parameters.init_checkpoint and "://" not in parameters.init_checkpoint:
        checkpoint = str(Path(parameters.init_checkpoint).absolute())
    else:
        checkpoint = parameters.init_checkpoint
    request = {
        "pipeline_root": str(folder / ARTIFACTS),
        "cache_root": str(cache),
        "arguments": {
            "dataset": dataset,
            "dataset_version": version,
            "checkpoint_root": str(folder / CHECKPOINTS),
            "tensorboard_root": str(folder / TENSORBOARD),
            **parameters.arguments(),
            "init_checkpoint": checkpoint,
        },
    }
    console.print(f"{dataset} → {folder}", highlight=False, markup=False, soft_wrap=True)
    watcher = _Watcher(folder, log, Display(console))
    try:
        with watcher.display.live():
            outputs = watcher.watch(request, lock)
            watcher.display.finish()
    except KfdetError as error:
        error.add_note(f"What the stages printed: {folder / LOG}")
        raise
    names = publish(folder, outputs)
    prune(folder / ARTIFACTS, cache, watcher.keys)
    if not watcher.display.stages["training"].cached:
        prune_checkpoints(folder)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    record = {
        "dataset": {"path": dataset, "version": version},
        "parameters": parameters.arguments(),
        "versions": {
            **versions(),
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "stages": [
            {
                "stage": name,
                "tasks": stage.ended,
                "cached": stage.cached,
                "seconds": round(stage.seconds, 3),
            }
            for name, stage in watcher.display.stages.items()
        ],
        "verdict": outputs["verdict"],
        "outputs": hashes(folder, names),
        # the largest process; kilobytes, on macOS bytes
        "peak_memory_mb": round(usage / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
        "seconds": round(time.monotonic() - started, 3),
    }
    with atomic_file(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return record


class _Watcher:
    """Starts the pipeline's process, follows its events and its output, and ends it."""

    def __init__(self, folder: Path, log: IO[bytes], display: Display) -> None:
        self.folder = folder
        self.display = display
        self.keys: set[str] = set()
        self._log = log
        self._tail = b""
        self._outputs: dict[str, Any] | None = None
        self._error: KfdetError | None = None
        self._unread = b""

    def watch(self, request: dict[str, Any], lock: int) -> dict[str, Any]:
        """Run the pipeline to its end and return its outputs."""
        with (
            tempfile.TemporaryDirectory(prefix="kfdet-") as scratch,
            _named_pipe(Path(scratch, "events")) as events,
            _process(request, Path(scratch), lock) as process,
            selectors.DefaultSelector() as selector,
        ):
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
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
        if self._error is not None:
            raise self._error
        if self._outputs is None:
            raise self._death("The pipeline", process.returncode)
        return self._outputs

    def _read_output(self, descriptor: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        plain = _COLOUR.sub(b"", data)
        self._tail = (self._tail + plain)[-_TAIL_BYTES:]
        with suppress(OSError):  # a full disk: the stage that fills it has the word
            self._log.write(plain)
            self._log.flush()
        return bool(data)

    def _read_events(self, descriptor: int) -> bool:
        *lines, self._unread = (self._unread + os.read(descriptor, 1 << 16)).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.display.event(event)
            if event["event"] == "error":
                self._error = _clear_error(event["message"], event["exit_status"])
            elif event["event"] == "outputs":
                self._outputs = event["outputs"]
            elif event["event"] == "task":
                if "key" in event:
                    self.keys.add(event["key"])
                if event["state"] == "failed" and self._error is None:
                    stage = event["stage"].replace("_", " ")
                    self._error = self._death(f"Stage {stage}", event["returncode"])
        return True

    def _death(self, who: str, returncode: int) -> KfdetError:
        """The error of a process that ended without a word of its own."""
        number = -returncode if returncode < 0 else returncode - 128
        text = self._tail.decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
        disk = next((line for line in reversed(lines) if _DISK.search(line)), "")
        if disk:
            return InputError(
                f"{who} could not write: {disk.strip()}.",
                file=self.folder,
                hint="Free some space or choose another folder.",
            )
        if number == signal.SIGKILL:
            how = (
                "was killed (SIGKILL), most likely for want of memory: try a smaller "
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


def _clear_error(message: str, exit_status: int) -> KfdetError:
    return InputError(message) if exit_status == InputError.exit_status else KfdetError(message)


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
