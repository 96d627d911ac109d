from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kfdet.records.picture_archive import read_pictures, write_pictures


@pytest.mark.parametrize("pictures", [{}, {"b.jpg": b"2", "a.jpg": b""}])
def test_pictures_come_back_in_order(pictures: dict[str, bytes], tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    for path in (one, two):
        write_pictures(path, pictures)
    assert list(read_pictures(one).items()) == list(pictures.items())
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
