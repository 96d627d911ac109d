from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.numbered_video import KINDS, write_video


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the video of one of `KINDS`, made once a session."""
    folder = tmp_path_factory.mktemp("videos")
    made: dict[str, Path] = {}

    def video(name: str) -> Path:
        if name not in made:
            kind = KINDS[name]
            made[name] = write_video(folder / f"{len(made)}{kind.suffix}", kind)
        return made[name]

    return video
