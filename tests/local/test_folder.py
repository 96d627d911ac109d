from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kfdet.errors import InputError, KfdetError
from kfdet.local.folder import (
    ARTIFACTS,
    CACHE,
    LOCK,
    PUBLISHED,
    check_places,
    located,
    locked,
    portable,
    prune,
    prune_checkpoints,
    publish,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    return folder


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def artifact(folder: Path, cache: str, key: str, name: str) -> Path:
    path = write(folder / ARTIFACTS / name)
    outputs = {"out": {"uri": f"${{RUN}}/{ARTIFACTS}/{name}"}, "Output": 3, "groups": [1]}
    entry = {"outputs": outputs, "seconds": 1.0, "finished": "2026-11-21"}
    write(folder / ARTIFACTS / CACHE / cache / f"{key}.json", json.dumps(entry))
    return path


@pytest.mark.parametrize("state", ["absent", "empty", "an earlier run"])
def test_a_run_may_work_in(state: str, dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    if state != "absent":
        folder.mkdir()
    if state == "an earlier run":
        write(folder / LOCK)
        write(folder / "metrics.json")
    check_places(dataset, folder)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("dataset", "lies inside the dataset"),
        ("dataset/run", "lies inside the dataset"),
        ("dataset/../dataset/run", "lies inside the dataset"),
        ("file", "is a file"),
        ("mine", "contains files that do not belong to a run"),
    ],
)
def test_a_run_may_not_work_in(place: str, problem: str, dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "file")
    write(tmp_path / "mine" / "model" / "precious")
    with pytest.raises(InputError, match=problem):
        check_places(dataset, tmp_path / place)


@pytest.mark.parametrize(
    ("name", "problem"), [("nowhere", "no such folder"), ("file", "is a file")]
)
def test_a_dataset_that_is_no_folder(name: str, problem: str, tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(InputError, match=problem):
        check_places(tmp_path / name, tmp_path / "run")


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from kfdet.local.folder import locked\n"
        "with locked(Path(sys.argv[1])): print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with (
            pytest.raises(InputError, match=rf"process {other.pid}\) works in this folder"),
            locked(tmp_path),
        ):
            pass
        other.communicate("")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_prune_of_nothing(tmp_path: Path) -> None:
    prune(tmp_path / ARTIFACTS)
    assert list(tmp_path.iterdir()) == []


def test_prune_deletes_what_no_cache_entry_refers_to(tmp_path: Path) -> None:
    kept = artifact(tmp_path, "code", "key", "run-1/training/model")
    killed = write(tmp_path / ARTIFACTS / "run-1" / "export" / "half")
    earlier = write(tmp_path / ARTIFACTS / "run-0" / "training" / "model")
    prune(tmp_path / ARTIFACTS)
    assert kept.exists()
    assert not killed.parent.exists()
    assert not earlier.parent.parent.exists()


def test_prune_drops_superseded_entries_with_their_artifacts(tmp_path: Path) -> None:
    kept = artifact(tmp_path, "code", "new", "run-1/training/model")
    superseded = artifact(tmp_path, "code", "old", "run-0/training/model")
    other_code = artifact(tmp_path, "other", "new", "run-0/planning/plan")
    caches = tmp_path / ARTIFACTS / CACHE
    prune(tmp_path / ARTIFACTS, caches / "code", {"new"})
    assert kept.exists()
    assert not superseded.exists()
    assert not other_code.exists()
    assert [path.relative_to(caches).as_posix() for path in caches.rglob("*.json")] == [
        "code/new.json"
    ]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("", ""),
        (3, 3),
        ("/runs/one", "${RUN}"),
        ("/runs/one/artifacts/plan", "${RUN}/artifacts/plan"),
        ("/runs/one-more/plan", "/runs/one-more/plan"),
        ({"a": ["/runs/one/x", "y"]}, {"a": ["${RUN}/x", "y"]}),
    ],
)
def test_paths_in_cache_entries(value: object, stored: object) -> None:
    assert portable(value, Path("/runs/one")) == stored
    assert located(stored, Path("/runs/one")) == value


def test_the_checkpoints_of_the_last_training_stay(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        folder = write(tmp_path / "checkpoints" / name / "ckpt").parent
        os.utime(folder, (1000 - age, 1000 - age))
    prune_checkpoints(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["new"]


def outputs(folder: Path) -> dict[str, str]:
    folders = ("records", "saved_model", "tflite", "gallery")
    files = {name for name, _ in PUBLISHED.values()} - {*folders}
    found = {name: str(write(folder / name, name)) for name in files}
    write(folder / "records" / "label_map.pbtxt")
    write(folder / "saved_model" / "1" / "saved_model.pb")
    write(folder / "tflite" / "model.tflite")
    write(folder / "gallery" / "detections.png")
    return found | {name: str(folder / name) for name in folders}


def test_publish_gives_every_output_its_fixed_name(tmp_path: Path) -> None:
    names = publish(tmp_path / "run", outputs(tmp_path / "artifacts"))
    left_out = {"detections.mp4", "model-float16.tflite", "model-int8.tflite"}
    assert set(names) == set(PUBLISHED) - left_out
    assert (tmp_path / "run" / "model" / "1" / "saved_model.pb").read_text() == "x"
    assert (tmp_path / "run" / "metrics.json").read_text() == "metrics"


def test_publish_takes_the_place_of_an_earlier_run(tmp_path: Path) -> None:
    write(tmp_path / "run" / "model" / "1" / "stale")
    write(tmp_path / "run" / "detections.mp4")
    write(tmp_path / "run" / "model-int8.tflite")
    publish(tmp_path / "run", outputs(tmp_path / "artifacts"))
    assert not (tmp_path / "run" / "model" / "1" / "stale").exists()
    assert not (tmp_path / "run" / "detections.mp4").exists()
    assert not (tmp_path / "run" / "model-int8.tflite").exists()


def test_publish_says_what_a_stage_did_not_write(tmp_path: Path) -> None:
    found = outputs(tmp_path / "artifacts")
    Path(found["report"]).unlink()
    with pytest.raises(KfdetError, match=r"without writing report\.html"):
        publish(tmp_path / "run", found)
