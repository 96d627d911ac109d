"""The cache of stages: what is computed again, and what a move of the folder changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from kfdet import events
from kfdet.local.folder import ARTIFACTS, CACHE
from kfdet.local.process import Cache


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.delenv(events.EVENTS_VARIABLE, raising=False)
    monkeypatch.setattr(events, "_listeners", [found.append])
    return found


def open_cache(folder: Path) -> Cache:
    return Cache(str(folder / ARTIFACTS / CACHE / "code"), folder)


def key(folder: Path, **arguments: Any) -> str:
    return open_cache(folder).compute_key(
        component_name="comp-frame-extraction",
        image="image",
        full_command=["python3"],
        arguments=arguments,
    )


def written(folder: Path) -> dsl.Dataset:
    path = folder / ARTIFACTS / "run-1" / "plan"
    path.mkdir(parents=True)
    return dsl.Dataset(name="plan", uri=str(path), metadata={"checkpoints": str(folder / "c")})


def test_a_moved_folder_hits(tmp_path: Path, emitted: list[dict[str, Any]]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    plan = written(old)
    before = key(old, plan=plan, root=str(old / "checkpoints"))
    cache = open_cache(old)
    assert cache.get(before) is None
    cache.put(before, {"plan": plan, "Output": 3})
    shutil.move(old, new)
    moved = dsl.Dataset(
        name="plan",
        uri=str(new / ARTIFACTS / "run-1" / "plan"),
        metadata={"checkpoints": str(new / "c")},
    )
    after = key(new, plan=moved, root=str(new / "checkpoints"))
    assert after == before
    outputs = open_cache(new).get(after)
    assert outputs is not None
    assert outputs["plan"].path == str(new / ARTIFACTS / "run-1" / "plan")
    assert outputs["plan"].metadata == {"checkpoints": str(new / "c")}
    assert outputs["Output"] == 3


def test_a_hit_reports_the_time_of_the_computation(
    tmp_path: Path, emitted: list[dict[str, Any]]
) -> None:
    cache, task = open_cache(tmp_path), key(tmp_path)
    cache.get(task)
    cache.put(task, {})
    cache.get(task)
    started, done, cached = emitted
    assert [event["state"] for event in emitted] == ["started", "done", "cached"]
    assert started["stage"] == "frame_extraction"
    assert cached["seconds"] == done["seconds"]
    assert cached["finished"] == done["finished"]
    assert cached["key"] == done["key"] == task


def test_a_deleted_artifact_misses(tmp_path: Path, emitted: list[dict[str, Any]]) -> None:
    cache, task, plan = open_cache(tmp_path), key(tmp_path), written(tmp_path)
    cache.get(task)
    cache.put(task, {"plan": plan})
    shutil.rmtree(plan.uri)
    assert cache.get(task) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a/toys", "/b/toys", True),  # its content is in the fingerprint
        ("/a/toys", "/a/pets", False),  # the report names it
        ("minio://a/toys", "minio://b/toys", False),
    ],
)
def test_a_dataset_counts_by_its_name(one: str, other: str, same: bool, tmp_path: Path) -> None:
    assert (key(tmp_path, dataset=one) == key(tmp_path, dataset=other)) is same


def test_the_fingerprint_is_taken_again_after_a_change(tmp_path: Path) -> None:
    def key(min_ap50: float = 0.5) -> str:
        return open_cache(tmp_path / "run").compute_key(
            component_name="comp-fingerprint",
            image="image",
            full_command=["python3"],
            arguments={"dataset": str(tmp_path / "toys"), "min_ap50": min_ap50},
        )

    (tmp_path / "toys").mkdir()
    before = key()
    assert key() == before
    assert key(min_ap50=0.8) == before  # parameters were checked before the run
    (tmp_path / "toys" / "new.mp4").touch()
    assert key() != before


def test_a_changed_checkpoint_misses(tmp_path: Path) -> None:
    (weights := tmp_path / "weights.index").write_text("1")
    before = key(tmp_path / "run", pretrained=str(tmp_path / "weights"))
    os.utime(weights, ns=(5, 5))
    assert key(tmp_path / "run", pretrained=str(tmp_path / "weights")) == before
    weights.write_text("2")
    assert key(tmp_path / "run", pretrained=str(tmp_path / "weights")) != before


@pytest.mark.parametrize("model", ["older", "older/model", "older.tflite"])
def test_a_model_to_compare_with_counts_by_what_it_holds(model: str, tmp_path: Path) -> None:
    def key_of(place: str) -> str:
        return key(tmp_path / "run", against=str(tmp_path / place / model))

    graphs = []
    for place in ("a", "b"):
        graph = tmp_path / place / "older" / "model" / "1" / "saved_model.pb"
        graph.parent.mkdir(parents=True)
        graphs += [graph, tmp_path / place / "older.tflite"]
    for graph in graphs:
        graph.write_text("1")
    before = key_of("a")
    assert key_of("b") == before
    (tmp_path / "a" / "older" / "report.html").touch()
    assert key_of("a") == before
    for graph in graphs[:2]:
        graph.write_text("2")
    assert key_of("a") != before


def test_an_address_to_compare_with_counts_as_it_is(tmp_path: Path) -> None:
    assert key(tmp_path, against="s3://a/1") != key(tmp_path, against="s3://a/2")


def test_the_own_run_as_a_checkpoint_survives_a_move(tmp_path: Path) -> None:
    (old := tmp_path / "old").mkdir()
    (old / "model.zip").write_text("1")
    before = key(old, pretrained=str(old))
    new = old.rename(tmp_path / "new")
    assert key(new, pretrained=str(new)) == before
