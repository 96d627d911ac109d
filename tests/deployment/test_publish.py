"""Publishing against a real S3 server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import minio
import pytest
from support.object_store import ObjectStore

from kfdet.deployment.publish import publish, version_of


@pytest.fixture
def store(object_store: ObjectStore) -> minio.Minio:
    return object_store.client


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    folder = tmp_path / "model" / "1"
    for name, text in {
        "saved_model.pb": "graph",
        "fingerprint.pb": "",
        "variables/variables.index": "index",
        "assets.extra/labels.txt": "ball\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def keys(store: Any) -> dict[str, Any]:
    found = store.list_objects("kfdet", recursive=True)
    return {entry.object_name: entry.last_modified for entry in found}


def test_a_version_follows_from_names_and_content(saved_model: Path, tmp_path: Path) -> None:
    version = version_of(saved_model)
    assert len(version) == 12
    assert int(version, 16) >= 0
    copy = tmp_path / "elsewhere" / "7"
    shutil.copytree(saved_model, copy)
    assert version_of(copy) == version
    (copy / "fingerprint.pb").write_text("x")
    assert version_of(copy) != version
    (copy / "fingerprint.pb").rename(copy / "keras_metadata.pb")
    (copy / "keras_metadata.pb").write_text("")
    assert version_of(copy) != version


@pytest.mark.parametrize("root", ["minio://kfdet/models", "s3://kfdet/models/"])
def test_the_layout_that_kserve_mounts(store: Any, saved_model: Path, root: str) -> None:
    uri = publish(saved_model, root, "toys", "0123456789ab")
    assert uri == "s3://kfdet/models/toys/0123456789ab"
    there = "models/toys/0123456789ab/1/"
    assert set(keys(store)) == {
        f"{there}saved_model.pb",
        f"{there}fingerprint.pb",
        f"{there}variables/variables.index",
        f"{there}assets.extra/labels.txt",
    }
    assert store.get_object("kfdet", f"{there}saved_model.pb").read() == b"graph"


def test_what_is_there_stays_and_what_is_missing_comes(store: Any, saved_model: Path) -> None:
    publish(saved_model, "minio://kfdet/models", "toys", "0123456789ab")
    there = "models/toys/0123456789ab/1/"
    # As if the upload had been cut off: the graph, which comes last, is missing.
    store.remove_object("kfdet", f"{there}saved_model.pb")
    before = keys(store)
    publish(saved_model, "minio://kfdet/models", "toys", "0123456789ab")
    after = keys(store)
    assert after.items() > before.items()
    assert set(after) - set(before) == {f"{there}saved_model.pb"}
