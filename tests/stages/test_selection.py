"""The choice among models that were trained on the same records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kfdet.export.module import load_module
from kfdet.parameters import SweepSettings
from kfdet.stages.selection import select
from kfdet.training.history import read_history

pytestmark = pytest.mark.slow


def trained_with(model: Path, folder: Path, learning_rate: float, noise: float) -> Path:
    """A copy of a trained model with damaged weights, whose history names another rate."""
    shutil.copytree(model, folder)
    history = json.loads((folder / "history.json").read_text())
    history["parameters"]["learning_rate"] = learning_rate
    (folder / "history.json").write_text(json.dumps(history))
    network = load_module(folder).model
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:
        value = variable.numpy()
        variable.assign(value + noise * value.std() * random.standard_normal(value.shape))
    tf.train.Checkpoint(model=network, **network.checkpoint_items).write(str(folder / "weights"))
    return folder


@pytest.fixture(scope="module")
def chosen(
    trained_model: Path, square_records: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder in which the selection wrote, and what it returned."""
    root = tmp_path_factory.mktemp("selection")
    models = [
        trained_with(trained_model, root / "first", 0.004, 1.0),
        trained_with(trained_model, root / "second", 0.008, 0.0),
        trained_with(trained_model, root / "third", 0.016, 0.1),
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
    best, *others = sweep["trials"]
    assert best["AP50"] == pytest.approx(read_history(chosen[0] / "model").best()["AP50"], abs=0.02)
    assert (best["difference"], best["interval"]) == (None, None)
    for trial in others:
        assert trial["difference"] == pytest.approx(trial["AP50"] - best["AP50"])
        assert (trial["AP50"], trial["AP"]) < (best["AP50"], best["AP"])
    assert sweep["reason"].endswith("There is too little truth to say how sure that is.")
    for trial in sweep["trials"]:
        assert trial["ms_per_image"] > 0.1, "milliseconds, not seconds"
        assert 0.5 < trial["megabytes"] < 100
        assert trial["minutes"] > 0
    assert sweep["chosen"] == {"learning_rate": 0.008}


def test_the_page_shows_it(chosen: tuple[Path, dict[str, Any]]) -> None:
    html = (chosen[0] / "sweep.html").read_text()
    assert "kfdet sweep squares" in html
    assert html.count("<circle") == 9
    assert json.loads((chosen[0] / "sweep.json").read_text())["reason"] in html
