from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from kfdet.errors import InputError
from kfdet.local.record import (
    DatasetRecord,
    StageRecord,
    check_same_dataset,
    code_version,
    hashes,
    versions,
)


def test_the_code_version_is_stable() -> None:
    assert code_version() == code_version()


def test_versions_name_kfdet_and_kfp() -> None:
    assert {"kfdet", "kfp", "tensorflow"} <= set(versions())


def test_hashes_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "model" / "1").mkdir(parents=True)
    (tmp_path / "model" / "1" / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    assert hashes(tmp_path, ["model", "b"]) == {
        "model/1/a": hashlib.sha256(b"a").hexdigest(),
        "b": hashlib.sha256(b"b").hexdigest(),
    }


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "video.mp4").write_bytes(b"video")
    return tmp_path / "toys"


def move(toys: Path) -> Path:
    return toys.rename(toys.parent / "moved")


def copy(toys: Path) -> Path:
    return shutil.copytree(toys, toys.parent / "copy", copy_function=shutil.copyfile)


def grow(toys: Path) -> Path:
    (toys / "new.mp4").write_bytes(b"new")
    return toys


def make_another(toys: Path) -> Path:
    (toys.parent / "other").mkdir()
    (toys.parent / "other" / "video.mp4").write_bytes(b"another video")
    return toys.parent / "other"


@pytest.mark.parametrize("change", [lambda toys: toys, move, copy, grow])
def test_a_dataset_stays_the_same(change: Callable[[Path], Path], toys: Path) -> None:
    record = {"dataset": asdict(DatasetRecord.of(str(toys)))}
    check_same_dataset(DatasetRecord.of(str(change(toys))), record, toys.parent / "run")


def test_another_dataset_is_refused(toys: Path) -> None:
    record = {"dataset": asdict(DatasetRecord.of(str(toys)))}
    with pytest.raises(InputError, match=rf"run: holds a run of another dataset, {toys}\. .*--rep"):
        check_same_dataset(DatasetRecord.of(str(make_another(toys))), record, Path("run"))


def test_a_stage_keeps_the_time_of_its_computation() -> None:
    stage = StageRecord("interpolation")
    stage.add(1.5, "2026-01-02T00:00:00+00:00", cached=True)
    stage.add(2.25, "2026-01-01T00:00:00+00:00", cached=False)
    assert asdict(stage) == {
        "stage": "interpolation",
        "tasks": 2,
        "cached": 1,
        "seconds": 3.75,
        "finished": "2026-01-02T00:00:00+00:00",
    }


def test_several_datasets(toys: Path) -> None:
    other = make_another(toys)
    both = DatasetRecord.of(f"{toys}, {other}")
    assert both.path == f"{toys},{other}"
    check_same_dataset(both, {"dataset": asdict(both)}, Path("run"))
    with pytest.raises(InputError, match="a run of another dataset"):
        check_same_dataset(DatasetRecord.of(str(toys)), {"dataset": asdict(both)}, Path("run"))
