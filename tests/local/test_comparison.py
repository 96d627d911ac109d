"""A model to compare with that does not fit stops a run before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import blob_detector as blobs
from support.blob_dataset import write_blob_dataset

from kfdet.cli import main
from kfdet.local.comparison import check_comparison
from kfdet.parameters import Parameters


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_blob_dataset(tmp_path / "toys")


def write_model(folder: Path, labels: list[str]) -> Path:
    extra = folder / "1" / "assets.extra"
    extra.mkdir(parents=True)
    (folder / "1" / "saved_model.pb").touch()
    (extra / "labels.txt").write_text("\n".join(labels) + "\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "other"], "knows none of the labels green, red, but cat"),
        (["--against", "absent"], "does not exist"),
        (["--promote", "better"], "Name a run or a model with --against"),
        (["--promote", "best"], "best"),
    ],
)
def test_refused(
    arguments: list[str],
    words: str,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "other", ["cat"])
    assert main(["run", str(dataset), "-o", "run", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_one_common_label_is_enough(dataset: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", [blobs.LABELS[0], "cat"])
    check_comparison(str(dataset), Parameters(against=str(model), promote="better"))
