from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.shared import shared_folder

from kfdet.demo.sample import make_sample

Kfdet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kfdet() -> Kfdet:
    """Runs the command line in a process of its own; `before` is a command that starts it."""

    def run(*arguments: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, sys.executable, "-m", "kfdet", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    return run


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `kfdet demo`; tests only read it."""
    return shared_folder(tmp_path_factory, "sample", make_sample)


@pytest.fixture(scope="session")
def processes_of() -> Callable[[Path, str], list[int]]:
    """Finds the processes of a run in a folder whose command line holds a text."""

    def find(folder: Path, text: str = "") -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:  # it has just ended
                continue
            if os.fsencode(folder / "artifacts") in line and text.encode() in line:
                found.append(int(path.parent.name))
        return found

    return find
