"""A run of `pets` on the cluster that KUBECONFIG names: its time, and the transfers' share.

    python -m benchmarks.cluster --data FOLDER

Not one of the table's, because it takes a cluster: `make cluster`, or `make e2e`'s conditions.
Lost to transfers counts, for every stage, what its pod needs beside the stage's own work (the
launcher's copies of artifacts, and with them the start and the end of the interpreter), and the
stage's own copies of the dataset: more than transfers, never less. Moved is what goes into and out
of the store's pod, by its network device, beside what the shards of the run hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from kubernetes import client, config
from kubernetes.stream import stream

from benchmarks.table import Row, print_table
from kfdet.cluster.names import NAMESPACE
from kfdet.events import parse_event
from kfdet.kubeflow.backend import connect_backend
from kfdet.kubeflow.workflow import artifact_uri, read_workflow
from kfdet.records.tables import SHARDS_FILE
from kfdet.storage.copies import local_dataset
from kfdet.storage.download import download

KFDET = (sys.executable, "-m", "kfdet")
DATASET = "minio://kfdet/datasets/benchmark-pets"
_COPYING = ("planning", "frame_extraction")


def measure(data: Path) -> list[Row]:
    """Measure a run that takes nothing from the cache."""
    subprocess.run([*KFDET, "upload", str(data / "pets"), DATASET], check=True)
    command = [*KFDET, "submit", DATASET, "--json", "--seed", str(int(time.time()))]
    before = _bytes_of_the_store()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    moved = _bytes_of_the_store() - before
    print(f"{moved} bytes moved", file=sys.stderr)
    run: dict[str, Any] = json.loads(done.stdout)
    started = time.perf_counter()
    with local_dataset(DATASET):
        copy = time.perf_counter() - started
    lost = 0.0
    workflow = connect_backend(os.environ.get("KFDET_KFP_HOST", "")).workflow(run["run"])
    for task in read_workflow(workflow).tasks:
        beside = _beside(task.pod) + (copy if task.stage in _COPYING else 0)
        print(f"{task.stage}: {beside:.1f} s beside the stage's own work", file=sys.stderr)
        lost += beside
    return [
        Row("run pets on the cluster", run["seconds"], 0, "s", 1, 0),
        Row("run pets on the cluster: AP50", run["metrics"]["AP50"], 0, "", 1, 0),
        Row("run pets on the cluster: pods", run["pods"], 0, "", 1, 0),
        Row(
            "lost to transfers / a tenth of the run",
            lost,
            run["seconds"] / 10,
            "s",
            run["seconds"] / 10 / lost,
            1.0,
        ),
        _moved(moved, _bytes_of_shards(artifact_uri(workflow, "tfrecord_build", "records"))),
    ]


def _moved(moved: int, frames: int) -> Row:
    limit = 3 * frames / 2**20
    return Row(
        "bytes moved / three times the frames'",
        moved / 2**20,
        limit,
        "MiB",
        limit * 2**20 / moved,
        1.0,
    )


def _bytes_of_shards(records: str) -> int:
    """Return what the examples of a run hold, which are its frames."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = download(records, Path(scratch) / "records")
        return sum(pq.read_table(folder / SHARDS_FILE)["length"].to_pylist())


def _bytes_of_the_store() -> int:
    """Return the bytes that the store's pod has received and sent since it started."""
    core = _core()
    (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector="app=kfdet-minio").items
    table: str = stream(
        core.connect_get_namespaced_pod_exec,
        pod.metadata.name,
        NAMESPACE,
        command=["cat", "/proc/net/dev"],
        stdout=True,
    )
    (device,) = (line.split() for line in table.splitlines() if line.strip().startswith("eth0"))
    return int(device[1]) + int(device[9])  # proc(5)


def _core() -> Any:
    config.load_kube_config()
    return client.CoreV1Api()


def _beside(pod: str) -> float:
    """Return the seconds between a pod's first and last line that its stage did not report."""
    log: str = _core().read_namespaced_pod_log(pod, NAMESPACE, container="main", timestamps=True)
    lines = [line.partition(" ") for line in log.splitlines()]
    first, last = (datetime.fromisoformat(lines[i][0][:26]) for i in (0, -1))  # microseconds
    events = filter(None, (parse_event(text) for _, _, text in lines))
    (seconds,) = (event["seconds"] for event in events if event["event"] == "end")
    return (last - first).total_seconds() - float(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/")
    print_table(measure(parser.parse_args().data))


if __name__ == "__main__":
    main()
