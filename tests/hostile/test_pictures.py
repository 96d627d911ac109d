"""What `check` passes, a run reads; and one bad picture hides no other message."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from support.annotation_samples import voc, write_image, write_text

from kfdet.errors import InputError
from kfdet.planning.check import check
from kfdet.video.images import read_image


def png(side: int) -> bytes:
    """A white picture of one bit per pixel."""
    rows = zlib.compress((b"\0" + b"\xff" * -(-side // 8)) * side, 1)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*parts, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def add(folder: Path, name: str, content: bytes = b"", objects: int = 1) -> Path:
    path = write_image(folder / "images" / name, 400, 300, colour=len(name) * 9)
    path.write_bytes(content or path.read_bytes())
    write_text(
        folder / "annotations" / f"{path.stem}.xml",
        voc(*[("cup", (1, 2, 30, 40))] * objects, size=(400, 300)),
    )
    return path


BAD = {
    "too many pixels.png": png(10_000),
    "a program for a printer.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "cut off.jpg": b"",
    "broken inside.jpg": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_check_and_run_agree(tmp_path: Path, name: str) -> None:
    path = add(tmp_path, name, BAD[name])
    data = path.read_bytes()
    if name.startswith("cut"):
        path.write_bytes(data[: len(data) // 2])
    elif name.startswith("broken"):
        path.write_bytes(data[:-400] + b"\xff\xd9" * 200)

    with pytest.raises(InputError):
        read_image(path)
    assert any(path.name in str(problem) for problem in check(tmp_path).errors)


def test_all_bad_pictures_are_named_beside_what_else_is_wrong(tmp_path: Path) -> None:
    for number in range(2):
        path = add(tmp_path, f"cut{number}.jpg")
        path.write_bytes(path.read_bytes()[:-300])
    write_text(tmp_path / "annotations" / "none.xml", "<annotation>")
    add(tmp_path, "good.jpg")

    text = "\n".join(map(str, check(tmp_path).errors))
    assert all(name in text for name in ("cut0.jpg", "cut1.jpg", "none.xml"))
