from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kfdet.training.starting_point import identity


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


@pytest.mark.parametrize("source", ["", "minio://kfdet/run", "https://example.com/a.tar.gz"])
def test_what_is_elsewhere_counts_by_its_address(source: str) -> None:
    assert identity(source) == source
