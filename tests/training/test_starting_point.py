from __future__ import annotations

import json
import shutil
import socket
import zipfile
from pathlib import Path

import pytest

from kfdet.errors import InputError
from kfdet.parameters import TrainingSettings
from kfdet.training.starting_point import check_start, identity


@pytest.mark.parametrize(
    ("source", "weights"),
    [
        ("run", "run/model.zip"),
        ("run/model", "run/model.zip"),
        ("run/model.zip", "run/model.zip"),
        ("ckpt", "ckpt/ckpt-5.index"),
        ("ckpt/ckpt-5", "ckpt/ckpt-5.data-00000-of-00001"),
    ],
)
def test_the_weights_decide(source: str, weights: str, tmp_path: Path) -> None:
    for name in ("run/model/1/saved_model.pb", "run/model.zip", "run/report.html", weights):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(name)
    before = identity(str(tmp_path / "a" / source))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "run" / "report.html").write_text("not a weight")
    assert identity(str(tmp_path / "b" / source)) == before
    (tmp_path / "b" / weights).write_text("trained again")
    assert identity(str(tmp_path / "b" / source)) != before


@pytest.mark.parametrize(
    "source",
    [
        "",
        "none",
        "imagenet",
        "coco",
        "endpoint:toys",
        "minio://kfdet/run",
        "https://example.com/a.tar.gz",
    ],
)
def test_what_is_elsewhere_counts_by_its_address(source: str) -> None:
    assert identity(source) == source


def run_of(network: str, folder: Path) -> Path:
    """A run's folder as far as a training that starts from it looks at it."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.zip", "w") as archive:
        archive.writestr("checkpoint/weights.index", "")
        archive.writestr("checkpoint/model.json", json.dumps({"network": network}))
    return folder


@pytest.mark.parametrize(
    ("earlier", "network"),
    [
        ("ssd_mobilenet_v2_fpnlite", "ssd_mobilenet_v2_fpnlite"),
        ("faster_rcnn_resnet50", "ssd_resnet50_fpn"),
    ],
)
def test_a_run_with_the_same_backbone(earlier: str, network: str, tmp_path: Path) -> None:
    run = run_of(earlier, tmp_path / "run")
    check_start(TrainingSettings(network=network, pretrained=str(run)))  # type: ignore[arg-type]


def test_what_needs_no_check(tmp_path: Path) -> None:
    for start in ("", "none"):
        check_start(TrainingSettings(pretrained=start))
    check_start(TrainingSettings(pretrained="imagenet"), here=False)


def test_a_run_of_another_network(tmp_path: Path) -> None:
    run = run_of("ssd_mobilenet_v2_fpnlite", tmp_path / "run")
    with pytest.raises(InputError) as error:
        check_start(TrainingSettings(pretrained=str(run)))
    assert str(error.value) == (
        f"{run}: its network is ssd_mobilenet_v2_fpnlite, of which nothing fits "
        "ssd_mobilenet_v3_small_fpnlite. Train the same network (--network "
        "ssd_mobilenet_v2_fpnlite), or start from other weights."
    )


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "folder", "a.txt"])
def test_a_file_without_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / "1" / "variables").mkdir(parents=True)
    (tmp_path / "folder" / "1" / "variables" / "variables.index").touch()
    (tmp_path / "a.txt").write_text("text")
    for kind in ("zip", "gztar"):
        shutil.make_archive(str(tmp_path / "a"), kind, tmp_path / "folder")
    with pytest.raises(InputError, match="holds no checkpoint"):
        check_start(TrainingSettings(pretrained=str(tmp_path / name)))


def test_what_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match="cannot be reached"):
        check_start(TrainingSettings(pretrained=f"http://127.0.0.1:{port}/a.zip"))
    with pytest.raises(InputError, match="no such file in the mirror"):
        check_start(TrainingSettings(pretrained="imagenet"))
    with pytest.raises(InputError, match="no published coco weights for ssd_mobilenet_v3_small"):
        check_start(TrainingSettings(pretrained="coco"), here=False)
