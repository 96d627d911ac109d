from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import run_files

from kfdet.errors import InputError
from kfdet.local import runner
from kfdet.local.folder import CHECKPOINTS, PUBLISHED
from kfdet.local.record import DatasetRecord, StageRecord
from kfdet.local.runner import _command, run
from kfdet.parameters import Parameters, SweepSettings


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        (Parameters(), ""),
        (Parameters(steps=20, min_ap50=0.8), " --steps 20 --min-ap50 0.8"),
        (Parameters(pretrained="a b"), " --pretrained 'a b'"),
        (Parameters(overrides="task: {}"), ""),
    ],
)
def test_the_command_of_a_run(parameters: Parameters, options: str) -> None:
    record = DatasetRecord("/data/my pets", "1", "directory")
    command = _command(record, Path("/runs/pets"), parameters, None)
    assert command == f"kfdet run '/data/my pets' -o /runs/pets{options}"


def test_the_command_of_a_sweep() -> None:
    record = DatasetRecord("/data/pets", "1", "directory")
    sweep = SweepSettings("steps=20,40 'learning_rate=.001..0.02'", random=4)
    assert _command(record, Path("/runs/pets"), Parameters(batch_size=4), sweep) == (
        "kfdet sweep /data/pets -o /runs/pets --grid steps=20,40 --grid learning_rate=.001..0.02 "
        "--random 4 --batch-size 4"
    )


class Watcher:
    """Ends at once, with two trainings that left checkpoints and with every output."""

    requests: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, folder: Path, *_: Any) -> None:
        self.folder, self.keys = folder, set[str]()
        self.stages = {"training": StageRecord("training", tasks=2)}

    def watch(self, request: dict[str, Any], _: int) -> dict[str, Any]:
        self.requests.append(request)
        Path(request["cache_root"]).mkdir(parents=True)
        for number in range(3):
            (self.folder / CHECKPOINTS / str(number)).mkdir()
        outputs = {}
        for output, inside in PUBLISHED.values():
            path = self.folder.parent / "outputs" / output / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run_files.metrics()))
            outputs[output] = str(self.folder.parent / "outputs" / output)
        (model := self.folder.parent / "outputs" / "saved_model").unlink()
        model.mkdir()
        (model / "model.json").write_text("{}")
        return {**outputs, "verdict": True, "chosen": {"steps": 40.0, "learning_rate": 0.004}}


def test_a_sweep_leaves_the_run_of_its_best_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "Watcher", Watcher)
    (tmp_path / "toys").mkdir()
    sweep = SweepSettings("steps=20,40 learning_rate=0.004,0.008")
    parameters = Parameters(batch_size=4, pretrained="none")
    done = run(tmp_path / "toys", tmp_path / "run", parameters, sweep=sweep)
    request = Watcher.requests[-1]
    assert request["pipeline"] == "sweep"
    assert request["arguments"]["grid"] == sweep.grid
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["sweep"] == {"grid": sweep.grid, "random": 0}
    chosen = {name: record["parameters"][name] for name in ("steps", "learning_rate", "batch_size")}
    assert json.dumps(chosen) == '{"steps": 40, "learning_rate": 0.004, "batch_size": 4}'
    assert (tmp_path / "run" / "sweep.html").is_file()
    assert len(list((tmp_path / "run" / CHECKPOINTS).iterdir())) == 2
    assert done.verdict


def test_weights_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves the tilde of --pretrained=~/weights as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(runner, "Watcher", Watcher)
    (tmp_path / "toys").mkdir()
    (tmp_path / "weights.index").touch()
    run(tmp_path / "toys", tmp_path / "run", Parameters(pretrained="~/weights"))
    assert Watcher.requests[-1]["arguments"]["pretrained"] == str(tmp_path / "weights")


def test_a_bad_grid_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "toys").mkdir()
    with pytest.raises(InputError, match="names no parameter"):
        run(tmp_path / "toys", tmp_path / "run", Parameters(), sweep=SweepSettings())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("videos/a.mp4", "videos/a.mp4: Permission denied. Change its permissions"),
        ("run/run.log", "run/run.log: cannot write: Permission denied. Change its permissions"),
    ],
)
def test_what_cannot_be_read_or_written(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: str) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / name))

    monkeypatch.setattr(DatasetRecord, "of", fail)
    (tmp_path / "videos").mkdir()
    with pytest.raises(InputError) as error:
        run(tmp_path / "videos", tmp_path / "run", Parameters())
    assert message in str(error.value)
