"""The process in which kfp.local runs a pipeline; `kfdet run` and `kfdet sweep` watch it.

A process of its own because kfp.local prints, installs log handlers and imports for a second, and
because ending its process group ends every stage at once. Its argument is one JSON object with
`pipeline`, `folder`, `pipeline_root`, `cache_root`, `scratch` and `arguments`; what happens
becomes events (kfdet.events).

Where kfp.local 2.17 falls short of what a run needs, the part is replaced here, and only here:

- its cache does not report hits, takes paths for what they name, and ignores the content of local
  checkpoint files: `Cache`;
- its subprocess runner takes only commands with embedded source, forgets the exit status, and
  replaces every "python3" on the command line, folder names included: `_run_task`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp import dsl, local
from kfp.local import cache as kfp_cache
from kfp.local import status, subprocess_task_handler

from kfdet.dataset.several import join_datasets, split_datasets
from kfdet.detection.saved_model import find_saved_model
from kfdet.events import emit
from kfdet.files import atomic_file, hash_file, hash_folder
from kfdet.local.folder import located, portable, read_entry
from kfdet.storage.fingerprint import fingerprint
from kfdet.training import starting_point

FINGERPRINT = "fingerprint"

_DAMAGE = (AttributeError, TypeError, ValueError)
"""What KFP stumbles over in a damaged entry of its cache, whose task is then run again."""

_task = threading.local()
"""The stage that the current thread runs; kfp.local takes one thread per task."""


class Cache(kfp_cache.LocalCache):  # type: ignore[misc]
    """KFP's local cache; emits which stage hit and which runs, and survives a move of the folder.

    An entry is a JSON file with the task's `outputs`, the `seconds` that it took and when it
    `finished`.

    Args:
        cache_root: Folder of the entries.
        folder: The run's folder.
    """

    def __init__(self, cache_root: str, folder: Path) -> None:
        super().__init__(cache_root)
        self._folder = folder

    def compute_key(self, component_name: str, arguments: dict[str, Any], **rest: Any) -> str:
        """The key of a task: KFP's, from what a path holds where the path itself may change.

        Of the dataset, its name, and for its fingerprint what that is and nothing else: it takes no
        process to find out, the other stages have it from there, and the parameters that this stage
        checks on a cluster were checked before the run began. Of the run's folder, nothing. Of a
        checkpoint to start from, its files; of a model to compare with, its name and files.
        """
        _task.stage = component_name.removeprefix("comp-").replace("-", "_")
        arguments = portable(self._serialize_value_for_key(arguments), self._folder)
        if _task.stage == FINGERPRINT:
            arguments = {"dataset": fingerprint(str(arguments["dataset"]))}
        elif dataset := arguments.get("dataset"):
            places = split_datasets(dataset)
            names = [each if "://" in each else Path(each).name for each in places]
            arguments["dataset"] = join_datasets(names)
        if start := arguments.get("pretrained"):
            arguments["pretrained"] = starting_point.identity(located(start, self._folder))
        if against := arguments.get("against"):
            arguments["against"] = _model_identity(located(against, self._folder))
        key: str = super().compute_key(component_name=component_name, arguments=arguments, **rest)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs of a task that ran before, or None."""
        path = Path(self._entry_path(key))
        if path.is_file() and (entry := read_entry(path)):
            with suppress(kfp_cache._MissingArtifactError, *_DAMAGE):
                stored = located(entry.outputs, self._folder)
                outputs: dict[str, Any] = self._deserialize_outputs(stored)
                times = {"seconds": entry.seconds, "finished": entry.finished}
                emit("task", stage=_task.stage, state="cached", key=key, **times)
                return outputs
        _task.started = time.monotonic()
        emit("task", stage=_task.stage, state="started")
        return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Remember the outputs of a task that has just succeeded."""
        times = {
            "seconds": round(time.monotonic() - _task.started, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        entry = {"outputs": portable(self._serialize_outputs(outputs), self._folder), **times}
        with atomic_file(Path(self._entry_path(key))) as temporary:
            temporary.write_text(json.dumps(entry), encoding="utf-8")
        emit("task", stage=_task.stage, state="done", key=key, **times)


def _model_identity(model: str) -> str:
    """The name of a model, which the report has, with a digest; an address as it is."""
    path = Path(model)
    if not path.exists():
        return model
    digest = hash_file(path) if path.is_file() else hash_folder(find_saved_model(path))
    return f"{path.name} {digest}"


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
    cache = Cache(request["cache_root"], Path(request["folder"]))
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

    from kfdet.pipelines.compilation import Compilation
    from kfdet.pipelines.compiler import PIPELINES

    # one training takes all cores
    pipeline = PIPELINES[request["pipeline"]].build_pipeline(Compilation(parallel_trainings=1))
    tasks = pipeline.component_spec.implementation.graph.root.dag.tasks
    tasks[FINGERPRINT].caching_options.enable_cache = True  # the key holds what it would find
    task = pipeline(**request["arguments"])
    outputs = {
        name: value.path if isinstance(value, dsl.Artifact) else value
        for name, value in task.outputs.items()
    }
    emit("outputs", outputs=outputs)


if __name__ == "__main__":
    main()
