"""The process of a stage: what the container of a component runs, and `kfdet run` on one machine.

The stages themselves are plain functions that return or raise. Only here does a stage become a
process, with events, an exit status, a graceful shutdown, and in a pod a termination message, where
Kubernetes, Argo and `kfdet submit` look for the reason of a failure.
"""

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kfdet.errors import KfdetError, explain_missing_packages
from kfdet.events import STAGE_VARIABLE, emit
from kfdet.files import count_cores, unexplained_os_error
from kfdet.signals import exit_on_sigterm

_TERMINATION_LOG = Path("/dev/termination-log")  # Kubernetes's default terminationMessagePath
_TERMINATION_BYTES = 4096  # Kubernetes keeps no more

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # NumPy's OpenBLAS, pyarrow
    "OPENCV_FOR_THREADS_NUM",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""What libraries read when they are imported; without it they count the cores of the node."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one component; returns the exit status.

    Raises:
        Exception: An unexpected error of the stage; it keeps its traceback.
    """
    parser = argparse.ArgumentParser(prog="python3 -m kfdet.components", description=main.__doc__)
    parser.add_argument("--executor_input", required=True, help="KFP's ExecutorInput as JSON.")
    parser.add_argument("--function_to_execute", required=True, help="Name of the component.")
    given = parser.parse_args(arguments)
    os.environ["_KFP_RUNTIME"] = "true"  # spares a second that the import of KFP's compiler takes
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    limit_threads()
    return run_stage(
        given.function_to_execute,
        lambda: _execute(given.function_to_execute, json.loads(given.executor_input)),
    )


def limit_threads() -> None:
    """Let libraries start no more threads than the container's CPU limit has cores."""
    cores = count_cores()
    if cores < (os.cpu_count() or 1):
        for name in _THREAD_VARIABLES:
            os.environ.setdefault(name, str(cores))


def run_stage(name: str, work: Callable[[], object]) -> int:
    """Do the `work` of the stage `name` as the job of this process; returns the exit status.

    Raises:
        Exception: An unexpected error of the stage.
    """
    os.environ[STAGE_VARIABLE] = name
    started = time.monotonic()
    emit("start")
    try:
        with exit_on_sigterm(), explain_missing_packages():
            work()
    except Exception as error:
        expected = error if isinstance(error, KfdetError) else None
        if isinstance(error, OSError):
            expected = unexplained_os_error(error)
        _leave_message(str(expected or f"{type(error).__name__}: {error}"))
        if expected is None:
            raise
        emit("error", message=str(expected), exit_status=expected.exit_status)
        return expected.exit_status
    emit("end", seconds=round(time.monotonic() - started, 3))
    return 0


def _execute(name: str, executor_input: dict[str, Any]) -> None:
    from kfp.dsl.executor import Executor

    component = getattr(importlib.import_module(f"kfdet.components.{name}"), name)
    Executor(executor_input=executor_input, function_to_execute=component).execute()


def _leave_message(text: str) -> None:
    """Make `text` the termination message of this container; outside of a pod do nothing."""
    with suppress(OSError):
        if _TERMINATION_LOG.exists():
            kept = text.encode()[:_TERMINATION_BYTES].decode(errors="ignore")
            _TERMINATION_LOG.write_text(kept, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
