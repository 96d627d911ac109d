from __future__ import annotations

from pathlib import Path

import pytest
from support.blob_detector import save_blob_model, write_photo
from support.square_video import write_square_video


@pytest.fixture(scope="session")
def blob_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blob_model(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Three photos with 1, 2 and no objects, and a video of 60 frames without any."""
    folder = tmp_path / "footage"
    write_photo(folder / "a.png", 0)
    write_photo(folder / "inner" / "b.png", 1, 2)
    write_photo(folder / "inner" / "c.png")
    write_square_video(folder / "videos" / "d.mp4")
    (folder / "notes.txt").write_text("not a picture")
    return folder
