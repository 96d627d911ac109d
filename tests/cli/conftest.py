from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import Refused

from kfdet.cli import main


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Runs a wrong command where there is only `file`: status 2, a message, nothing written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").touch()

    def run(arguments: list[str]) -> str:
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        return captured.err

    return run
