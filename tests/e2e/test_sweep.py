"""A whole sweep, and what the same command does again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--every", "6", "--longest-side", "320", "--input-size", "128x192"),
    *("--batch-size", "4", "--grid", "steps=6,12"),
)


def computed(run: Path) -> dict[str, int]:
    """Stage -> how many of its tasks were run anew, of those that were."""
    stages = json.loads((run / "run.json").read_text())["stages"]
    anew = {stage["stage"]: stage["tasks"] - stage["cached"] for stage in stages}
    return {stage: tasks for stage, tasks in anew.items() if tasks}


@pytest.fixture(scope="module")
def sweep(sample: Path, kfdet: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "sweep"
    done = kfdet("sweep", sample, "-o", folder, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "training" in done.stderr
    assert "(2 settings)" in done.stderr
    return folder


def test_records_are_made_once_and_every_setting_is_trained(sweep: Path) -> None:
    found = computed(sweep)
    assert found["tfrecord_build"] == found["export"] == found["evaluation"] == 1
    assert found["training"] == 2
    trials = json.loads((sweep / "sweep.json").read_text())["trials"]
    assert sorted(trial["settings"]["steps"] for trial in trials) == [6, 12]
    assert (sweep / "sweep.html").read_text().count("<circle") == 6


def test_it_is_the_run_of_the_best_setting(sweep: Path) -> None:
    chosen = json.loads((sweep / "sweep.json").read_text())["chosen"]
    record = json.loads((sweep / "run.json").read_text())
    assert record["parameters"]["steps"] == chosen["steps"]
    assert record["sweep"] == {"grid": "steps=6,12", "random": 0}
    for name in ("report.html", "metrics.json", "model/1/saved_model.pb", "model.zip"):
        assert (sweep / name).stat().st_size > 0
    assert len(list((sweep / "checkpoints").iterdir())) == 2


def test_the_same_command_again_redoes_nothing(sweep: Path, sample: Path, kfdet: Any) -> None:
    done = kfdet("sweep", sample, "-o", sweep, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert computed(sweep) == {}
