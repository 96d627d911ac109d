from __future__ import annotations

import os
import subprocess
import sys
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
