"""The process in which kfp.local runs the training pipeline; `kfdet run` starts and watches it.

A process of its own because kfp.local prints, installs log handlers and imports for a second, and
because ending its process group ends every stage at once. Its argument is one JSON object with
`pipeline_root`, `cache_root`, `scratch` and `arguments`; it reports through kfdet.events.

Where kfp.local 2.17 falls short of what a run needs, the part is replaced here, and only here:

- its cache reports no hits and knows nothing of local checkpoint files: `Cache`;
- its subprocess runner takes only commands with embedded source, forgets the exit status, and
  replaces every "python3" on the command line, folder names included: `_run_task`.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from kfp import dsl, local
from kfp.local import cache as kfp_cache
from kfp.local import status, subprocess_task_handler

from kfdet.events import emit

_task = threading.local()
"""The stage that the current thread runs; kfp.local takes one thread a task."""


class Cache(kfp_cache.LocalCache):  # type: ignore[misc]
    """KFP's local cache, which also reports which stages hit and which are run."""

    def compute_key(self, component_name: str, arguments: dict[str, Any], **rest: Any) -> str:
        """The key of a task: KFP's, and the state of the checkpoint files that it starts from."""
        _task.stage = component_name.removeprefix("comp-").replace("-", "_")
        checkpoint = arguments.get("init_checkpoint")
        if checkpoint and "://" not in checkpoint:
            files = sorted(glob.glob(f"{glob.escape(checkpoint)}*"))
            state = [(f, s.st_size, s.st_mtime_ns) for f in files for s in [os.stat(f)]]
            arguments = {**arguments, "init_checkpoint": state}
        key: str = super().compute_key(component_name=component_name, arguments=arguments, **rest)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs of a task that ran before, or None."""
        outputs: dict[str, Any] | None = super().get(key)
        if outputs is None:
            _task.started = time.monotonic()
            emit("task", stage=_task.stage, state="started")
        else:
            emit("task", stage=_task.stage, state="cached", key=key)
        return outputs

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Remember the outputs of a task that has just ended well."""
        super().put(key, outputs)
        seconds = round(time.monotonic() - _task.started, 3)
        emit("task", stage=_task.stage, state="done", key=key, seconds=seconds)


def _run_task(handler: subprocess_task_handler.SubprocessTaskHandler) -> status.Status:
    """Run a task's command with this interpreter and report how it ended."""
    _, *arguments = handler.full_command  # the first word is python3
    ended = subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **handler.env_vars},
        check=False,
    )
    if ended.returncode == 0:
        return status.Status.SUCCESS
    emit("task", stage=_task.stage, state="failed", returncode=ended.returncode)
    return status.Status.FAILURE


def _end_with_parent(scratch: str) -> None:
    """End this process group as soon as the parent's end of standard input closes."""
    os.read(0, 1)  # not sys.stdin, whose lock would be held when the interpreter ends
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the pipeline and report its outputs: paths of artifacts and values of parameters."""
    request = json.loads(sys.argv[1])
    if os.getpgrp() == os.getpid():
        arguments = (request["scratch"],)
        threading.Thread(target=_end_with_parent, args=arguments, daemon=True).start()
    cache = Cache(request["cache_root"])
    kfp_cache.get_local_cache = lambda: cache
    handler = subprocess_task_handler.SubprocessTaskHandler
    handler.validate_not_container_component = lambda *_: None
    handler.run = _run_task
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=request["pipeline_root"],
        enable_caching=True,
        cache_root=request["cache_root"],
    )

    from kfdet.pipelines.training import training_pipeline

    task = training_pipeline(**request["arguments"])
    outputs = {
        name: value.path if isinstance(value, dsl.Artifact) else value
        for name, value in task.outputs.items()
    }
    emit("outputs", outputs=outputs)


if __name__ == "__main__":
    main()
