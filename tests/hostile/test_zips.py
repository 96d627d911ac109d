"""Zips whose bytes are wrong in places that Python's zipfile has other exceptions for."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, write_video

from kfdet.dataset.loading import load

WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zipped(name: str, way: int) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", way) as archive:
        archive.writestr(name, cvat(*(track(box(0), number=n) for n in range(50))))
    return bytearray(file.getvalue())


@pytest.mark.parametrize("name", ["annotations.xml", "clip.xml"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", ["data", "before the start", "behind the end"])
def test_damage(tmp_path: Path, name: str, way: int, damage: str) -> None:
    data = zipped(name, way)
    end = data.rindex(b"PK\5\6")
    if damage == "data":
        data[60:90] = b"\xff" * 30
    elif damage == "before the start":  # the directory is said to be further on than it is
        struct.pack_into("<I", data, end + 16, end)
    else:
        struct.pack_into("<I", data, data.rindex(b"PK\1\2") + 42, 1 << 31)
    write_video(tmp_path / "clip.mp4")
    (tmp_path / "task.zip").write_bytes(data)

    assert any(
        "zip" in problem.problem or "XML" in problem.problem for problem in load(tmp_path).problems
    )


@pytest.mark.parametrize("name", ["task.zip", "clip.zip"])
def test_a_member_without_a_name(tmp_path: Path, name: str) -> None:
    data = zipped("annotations.xml", zipfile.ZIP_DEFLATED)
    place = data.rindex(b"annotations.xml")
    data[place] = 0  # Python cuts a name off there
    write_video(tmp_path / "clip.mp4")
    (tmp_path / name).write_bytes(data)

    assert any("has no name" in problem.problem for problem in load(tmp_path).problems)
