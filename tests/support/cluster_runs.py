"""Runs on the cluster that KUBECONFIG names, driven by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.command_line import kfdet_on_cluster as kfdet

from kfdet.cluster.names import NAMESPACE
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.following import ENDED
from kfdet.kubeflow.workflow import WorkflowTask, read_workflow

NAME = f"e2e-{uuid.uuid4().hex[:6]}"
DATASET = f"minio://kfdet/datasets/{NAME}"
SMALL = ("--training-cpu", "500m", "--training-memory", "3Gi")
QUICK = (
    *("--every", "6", "--longest-side", "320", "--input-size", "128x192"),
    *("--steps", "12", "--batch-size", "4", *SMALL),
)
"""What it learns is no use to anybody."""

PATIENCE_SECONDS = 1800


def fresh() -> tuple[str, str]:
    """An option that keeps a run from what earlier ones have left in the cache."""
    return "--seed", str(uuid.uuid4().int % 10**6)


def trained_anew() -> tuple[str, str]:
    """An option that makes a run train, from records that it may take from the cache."""
    return "--learning-rate", f"0.002{uuid.uuid4().int % 10**6:06d}"


def submit(*options: str) -> dict[str, Any]:
    """Run the pipeline to its end, as for the sample; what --json says of it."""
    done = kfdet("submit", DATASET, "--json", *SMALL, *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(backend: Backend, *options: str) -> str:
    """Start a run and leave it; its ID."""
    done = kfdet("submit", DATASET, "--json", "--no-follow", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(2)
    return found


def tasks(backend: Backend, run_id: str) -> dict[str, WorkflowTask]:
    """The tasks of a run by stage; of the loop's one."""
    return {task.stage: task for task in read_workflow(backend.workflow(run_id)).tasks}


def running_pod(backend: Backend, run_id: str, stage: str) -> str:
    task = tasks(backend, run_id).get(stage)
    return task.pod if task and task.state == "running" else ""


def terminate(backend: Backend, run_id: str) -> None:
    """End a run, unless it has ended."""
    if backend.run(run_id)["state"] not in ENDED:
        backend._request("POST", f"/apis/v2beta1/runs/{run_id}:terminate")


@contextmanager
def following(backend: Backend, run_id: str) -> Iterator[list[str]]:
    """The lines that following a run prints, as they come; the run is ended afterwards."""
    command = [sys.executable, "-m", "kfdet", "submit", "--follow", run_id]
    lines: list[str] = []
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    ) as process:
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        try:
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            reader.join(10)
            terminate(backend, run_id)


def objects(prefix: str) -> list[Any]:
    """What lies in the bucket below a URI."""
    from kfdet.storage.address import BucketPath
    from kfdet.storage.listing import entries
    from kfdet.storage.store import Store

    with Store(prefix) as store:
        return entries(store, BucketPath.parse(prefix))


def kill(core: Any, pod: str) -> None:
    """End the stage's process as the kernel does when memory runs out."""
    from kubernetes.stream import stream

    script = (
        "import os, pathlib\n"
        "for p in pathlib.Path('/proc').glob('[0-9]*'):\n"
        "    command = (p / 'cmdline').read_bytes()\n"
        "    if b'kfdet.components' in command and int(p.name) != os.getpid():\n"
        "        os.kill(int(p.name), 9)\n"
    )
    command = ["python3", "-c", script]
    connect = core.connect_get_namespaced_pod_exec
    stream(connect, pod, NAMESPACE, container="main", command=command, stdout=True, stderr=True)
