from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

Kfdet = Callable[..., subprocess.CompletedProcess[str]]
Film = Callable[[Path], Path]


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
def film() -> Film:
    """Writes a film of 60 frames, 160x120, 10 a second: a bright square moves to the right."""

    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            for index in range(60):
                picture = np.full((120, 160, 3), 40, np.uint8)
                picture[40:70, 10 + index : 40 + index] = 220
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Waits until a condition holds; fails when `process` ends first."""

    def wait(
        condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None
    ) -> None:
        deadline = time.monotonic() + 300
        while not condition():
            assert process is None or process.poll() is None, "the run ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    return wait


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
