from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from support.command_line import Refused

from kfdet.cli import main
from kfdet.errors import KfdetError
from kfdet.parameters import Network

SWEEP = ("sweep", "d", "-o", "r", "--grid")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument"),
        (["run", "d"], "Missing option"),
        (["run", "d", "-o", "r", "--network", "yolo"], "'yolo' is not one of"),
        (["run", "d", "-o", "r", "--val-share", "2"], "less than or equal to 0.9"),
        (["run", "d", "-o", "r", "--input-size", "big"], "is not HEIGHTxWIDTH"),
        (["run", "d", "-o", "r", "--pretrained", "no/where"], "no/where: no such checkpoint"),
        (
            ["run", "d", "-o", "r", "--overrides", "none.yaml"],
            "none.yaml: cannot read: No such file",
        ),
        (["run", "d", "-o", "r", "--overrides", "."], ".: cannot read: Is a directory"),
        (["run", "d", "-o", "r"], "d: no such folder"),
        (["sweep", "d", "-o", "r"], "the grid names no parameter"),
        (["sweep", "d", "-o", "r", "--random", "3"], "the grid names no parameter"),
        ([*SWEEP, "lerning_rate=1,2"], "Did you mean 'learning_rate'?"),
        ([*SWEEP, "frame_rate=5,10"], "frame_rate cannot be in the grid"),
        ([*SWEEP, "learning_rate="], "gives learning_rate no value"),
        ([*SWEEP, "learning_rate=.1,2,x"], "learning_rate must be a number, got 'x'"),
        ([*SWEEP, "steps=1,2", "--grid", "steps=3,4"], "the grid names steps twice"),
        ([*SWEEP, "steps=1,2", "--steps", "3"], "with --steps, and in the grid"),
        ([*SWEEP, "steps=1,2"], "d: no such folder"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(arguments)


def test_overrides_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (binary := tmp_path / "binary").write_bytes(b"\x89PNG\xff")
    assert main(["run", "d", "-o", "r", "--overrides", str(binary)]) == 2
    assert "binary: is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["task: [", "- a"])
def test_overrides_that_are_no_yaml_mapping(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o.yaml").write_text(text)
    assert main(["run", "d", "-o", "r", "--overrides", str(tmp_path / "o.yaml")]) == 2
    assert "the overrides are not" in capsys.readouterr().err


def test_the_networks_are_those_that_training_knows() -> None:
    from kfdet.training.networks import NETWORKS

    assert set(get_args(Network)) == set(NETWORKS)


def test_a_model_in_a_bucket_may_have_an_at_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def evaluate(model: str, *_: Any, **__: Any) -> Any:
        asked.append(model)
        raise KfdetError("measured.")

    monkeypatch.setattr("kfdet.local.evaluation.evaluate", evaluate)
    assert main(["evaluate", "minio://kfdet/toys@2.zip", str(tmp_path)]) == 1
    assert asked == ["minio://kfdet/toys@2.zip"]
