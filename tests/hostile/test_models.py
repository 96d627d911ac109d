"""Models and weights whose bytes are not those that were written."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.fuzzing import damaged

from kfdet.detection.saved_model import (
    CHECKSUMS_FILE,
    find_saved_model,
    load_graph,
    write_checksums,
)
from kfdet.detection.tflite import LABELS_FILE, TFLiteBackend, read_attached, write_attached
from kfdet.errors import InputError
from kfdet.parameters import TrainingSettings
from kfdet.training.starting_point import check_start
from kfdet.training.weight_files import local_weights

TURNS = 60
MODEL = bytes(range(256)) * 8


def test_a_tflite_file_with_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    write_attached(path, MODEL, {LABELS_FILE: b"cup\n"})
    content = path.read_bytes()
    assert read_attached(path) == (("cup",), None)
    for turn in range(TURNS):
        changed = damaged(MODEL, random.Random(turn))
        path.write_bytes(changed + content[len(MODEL) :])
        if changed != MODEL:
            with pytest.raises(InputError):
                read_attached(path)
        path.write_bytes(damaged(content, random.Random(turn)))
        with suppress(InputError):
            assert read_attached(path) == (("cup",), None), turn


def test_a_tflite_file_whose_model_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    write_attached(path, MODEL, {LABELS_FILE: b"cup\n"})
    with pytest.raises(InputError, match="not a TFLite model"):
        TFLiteBackend(path)


@pytest.fixture
def saved_model(toy_model: Path, tmp_path: Path) -> Path:
    """A SavedModel that a test may damage, with its checksums."""
    folder = tmp_path / "1"
    shutil.copytree(find_saved_model(toy_model), folder)
    (folder / CHECKSUMS_FILE).parent.mkdir(exist_ok=True)
    write_checksums(folder)
    return folder


def test_a_whole_saved_model_loads(saved_model: Path) -> None:
    assert "serving_default" in load_graph(saved_model).signatures


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "fingerprint.pb"])
def test_a_saved_model_with_other_bytes(saved_model: Path, name: str) -> None:
    path = saved_model / name
    content = path.read_bytes()
    for turn in range(TURNS):
        changed = damaged(content, random.Random(turn))
        path.write_bytes(changed)
        if changed != content:
            with pytest.raises(InputError, match=f"{name} is not what was exported"):
                load_graph(saved_model)
    path.unlink()
    with pytest.raises(InputError, match=f"{name} is not what was exported"):
        load_graph(saved_model)


@pytest.mark.parametrize("line", [f"{'0' * 64}  ../../x", "x", f"{'0' * 64}  /etc/passwd", "\x00"])
def test_checksums_name_nothing_elsewhere(saved_model: Path, line: str) -> None:
    (saved_model / CHECKSUMS_FILE).write_text(f"{line}\n")
    with pytest.raises(InputError, match="not what kfdet wrote"):
        load_graph(saved_model)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_saved_model_without_checksums_that_is_cut_off(saved_model: Path, name: str) -> None:
    (saved_model / CHECKSUMS_FILE).unlink()
    path = saved_model / name
    path.write_bytes(path.read_bytes()[:3])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_graph(saved_model)


def _zip(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint/weights.index", b"x")
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)


def _tar(path: Path, name: str, size: int = 1) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for each, content in (("weights.index", b"x"), (name, b"\0" * size)):
            member = tarfile.TarInfo(each)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _cut(path: Path) -> None:
    _tar(path, "weights.data", 4000)
    path.write_bytes(path.read_bytes()[:90])


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "a path that leads out": lambda path: _zip(path, **{"../x": b"x"}),
    "a bomb": lambda path: _zip(path, checkpoint__weights=b"\0" * (40 << 20)),
    "a description that is a list": lambda path: _zip(path, **{"model.json": b"[1]"}),
    "a network that is a number": lambda path: _zip(path, **{"model.json": b'{"network": 1}'}),
    "a description that is nested": lambda path: _zip(path, **{"model.json": b"[" * 100_000}),
    "a description that is large": lambda path: _zip(path, **{"model.json": b" " * (20 << 20)}),
    "a tar whose path leads out": lambda path: _tar(path, "../x"),
    "a tar that is cut off": _cut,
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_weights_in_hostile_archives(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in" / "weights"
    path.parent.mkdir()
    ARCHIVES[kind](path)
    with pytest.raises(InputError, match="weights"):
        _start(path)
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def _start(path: Path) -> None:
    settings = TrainingSettings(pretrained=str(path))
    check_start(settings)
    with local_weights(str(path), settings.network):
        pass


def test_an_archive_that_is_larger_than_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("kfdet.training.weight_files.shutil.disk_usage", lambda _: usage)
    path = tmp_path / "weights.tar.gz"
    _tar(path, "weights.data", 4000)
    with pytest.raises(InputError, match="there is room for"):
        _start(path)


@pytest.mark.parametrize("seed", range(TURNS))
def test_damaged_archives_of_weights(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "weights"
    described = json.dumps({"network": TrainingSettings().network}).encode()
    _zip(path, **{"notes.json": described})
    path.write_bytes(damaged(path.read_bytes(), random.Random(seed)))
    with suppress(InputError):
        _start(path)
