"""The choice among models that were trained on the same records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kfdet.parameters import SweepSettings
from kfdet.stages.selection import select

pytestmark = pytest.mark.slow


def trained_with(model: Path, folder: Path, learning_rate: float, ap50: float) -> Path:
    """A copy of a trained model whose history tells something else."""
    shutil.copytree(model, folder)
    history = json.loads((folder / "history.json").read_text())
    history["parameters"]["learning_rate"] = learning_rate
    for validation in history["val"]:
        validation["AP50"] = ap50
    (folder / "history.json").write_text(json.dumps(history))
    return folder


@pytest.fixture(scope="module")
def chosen(
    trained_model: Path, square_records: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder in which the selection wrote, and what it returned."""
    root = tmp_path_factory.mktemp("selection")
    models = [
        trained_with(trained_model, root / "first", 0.004, 0.25),
        trained_with(trained_model, root / "second", 0.008, 0.75),
        trained_with(trained_model, root / "third", 0.016, 0.5),
    ]
    settings = select(
        models,
        square_records,
        root / "model",
        root / "sweep.json",
        root / "sweep.html",
        SweepSettings("learning_rate=0,0.008,0.016"),
        command="kfdet sweep squares",
    )
    return root, settings


def test_the_model_with_the_highest_ap50_is_chosen(chosen: tuple[Path, dict[str, Any]]) -> None:
    root, settings = chosen
    assert settings == {"learning_rate": 0.008}
    for name in ("history.json", "model.json"):
        assert (root / "model" / name).read_bytes() == (root / "second" / name).read_bytes()


def test_the_table_holds_every_setting(chosen: tuple[Path, dict[str, Any]]) -> None:
    sweep = json.loads((chosen[0] / "sweep.json").read_text())
    assert [trial["settings"]["learning_rate"] for trial in sweep["trials"]] == [
        *(0.008, 0.016, 0.004),
    ]
    assert [trial["AP50"] for trial in sweep["trials"]] == [0.75, 0.5, 0.25]
    for trial in sweep["trials"]:
        assert trial["ms_per_image"] > 0.1, "milliseconds, not seconds"
        assert 0.5 < trial["megabytes"] < 100
        assert trial["minutes"] > 0
    assert sweep["chosen"] == {"learning_rate": 0.008}


def test_the_page_shows_it(chosen: tuple[Path, dict[str, Any]]) -> None:
    html = (chosen[0] / "sweep.html").read_text()
    assert "kfdet sweep squares" in html
    assert html.count("<circle") == 9
