"""Batch scoring on the cluster, whose pod is killed in the middle: `make e2e`."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.cluster_runs import DATASET, kill, running_pod, wait_for
from support.command_line import kfdet_on_cluster as kfdet

from kfdet.demo.sample import make_sample
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.workflow import artifact_uri
from kfdet.storage.address import BucketPath
from kfdet.storage.store import Store
from kfdet.video.packets import scan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KFDET_E2E" not in os.environ, reason="needs a cluster: make e2e"),
]

SOURCE = f"{DATASET}-footage"
TARGET = f"{DATASET}-scores"
SCORING = ("submit", "--pipeline", "scoring", SOURCE, TARGET, "--groups", "1", "--json")
SMALL = ("--scoring-cpu", "1", "--scoring-memory", "3Gi")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Videos in a bucket, each with its number of frames."""
    folder = tmp_path_factory.mktemp("footage")
    make_sample(folder / "sample")
    (folder / "videos").mkdir()
    frames = {}
    for video in (folder / "sample" / "videos").glob("*.mp4"):
        for copy in range(3):
            name = f"{video.stem}-{copy}.mp4"
            (folder / "videos" / name).symlink_to(video)
            frames[name] = scan(video).frames
    done = kfdet("upload", str(folder / "videos"), SOURCE)
    assert done.returncode == 0, done.stderr
    return frames


@pytest.fixture(scope="module")
def results() -> Iterator[Store]:
    with Store(TARGET) as store:
        yield store


def written(store: Store) -> dict[str, datetime]:
    """The results of single videos, each with the time when it was written."""
    place = BucketPath.parse(TARGET)
    found = store.client.list_objects(place.bucket, f"{place.prefix}/", recursive=True)
    return {
        each.object_name: each.last_modified
        for each in found
        if each.object_name.endswith(".parquet") and ".mp4" in each.object_name
    }


def read(store: Store, name: str) -> bytes:
    place = BucketPath.parse(TARGET)
    content: bytes = store.client.get_object(place.bucket, place.key(name)).data
    return content


def test_a_killed_scoring_goes_on_and_repeats_nothing(
    backend: Backend,
    first: dict[str, Any],
    footage: dict[str, int],
    results: Store,
    core: Any,
    tmp_path: Path,
) -> None:
    model = artifact_uri(backend.workflow(first["run"]), "evaluation", "saved_model")
    done = kfdet(*SCORING, "--model", model, *SMALL, "--no-follow")
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["run"]
    pod = wait_for(lambda: running_pod(backend, run_id, "scoring"))
    before = wait_for(lambda: len(found := written(results)) >= 3 and found)
    kill(core, pod)
    before |= written(results)
    assert len(before) < len(footage), "it had ended"
    done = kfdet("submit", "--follow", run_id, "--json")
    assert done.returncode == 0, done.stderr
    after = written(results)
    assert len(after) == len(footage)
    assert {name: after[name] for name in before} == before, "written again"
    summary = json.loads(read(results, "summary.json"))
    assert (summary["files"], summary["failed"]) == (len(footage), [])
    assert summary["scored"] == len(footage) - len(before)
    assert summary["frames"] == sum(footage.values())
    assert 0 < summary["detections"] < 5 * summary["frames"], "without the model's threshold"
    assert summary["waited"] <= 0.1 * summary["seconds"]
    frames = pq.read_table(io.BytesIO(read(results, "frames.parquet")))
    found = zip(frames["source"].to_pylist(), frames["frame"].to_pylist(), strict=True)
    assert sorted(found) == [(name, i) for name in sorted(footage) for i in range(footage[name])]


def test_what_is_scored_is_not_scored_again(
    backend: Backend, first: dict[str, Any], footage: dict[str, int], results: Store
) -> None:
    before = written(results)
    assert len(before) == len(footage)
    model = artifact_uri(backend.workflow(first["run"]), "evaluation", "saved_model")
    done = kfdet(*SCORING, "--model", model, *SMALL)
    assert done.returncode == 0, done.stderr
    assert written(results) == before
    assert json.loads(read(results, "summary.json"))["scored"] == 0
