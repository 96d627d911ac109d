from __future__ import annotations

from pathlib import Path

import pytest

from kfdet.local.record import DatasetRecord
from kfdet.local.runner import _command
from kfdet.parameters import Parameters


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
