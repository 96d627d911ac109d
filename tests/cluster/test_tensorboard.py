from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfdet.cluster.tensorboard import (
    OPTIONAL_STORAGE_VARIABLES,
    STORAGE_VARIABLES,
    write_ui_metadata,
)


def test_logs_in_a_folder_have_no_button(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    write_ui_metadata(path, str(tmp_path / "logs"), "image")
    assert json.loads(path.read_text()) == {"version": 1, "outputs": []}


@pytest.mark.parametrize("scheme", ["minio", "s3"])
def test_logs_in_a_bucket(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    write_ui_metadata(path, f"{scheme}://kfdet/tensor/board", "hub/board:1")
    (output,) = json.loads(path.read_text())["outputs"]
    assert output["type"] == "tensorboard"
    assert output["source"] == "s3://kfdet/tensor/board"
    assert output["image"] == "hub/board:1"
    (container,) = output["pod_template_spec"]["spec"]["containers"]
    assert {
        entry["name"]: tuple(entry["valueFrom"]["secretKeyRef"].values())
        for entry in container["env"]
    } == {
        name: ("kfdet-storage-reader", name, True)
        for name in (*STORAGE_VARIABLES, *OPTIONAL_STORAGE_VARIABLES)
    }
    assert "\\" not in path.read_text()  # the UI drops every backslash before it parses
