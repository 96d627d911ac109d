"""Videos of which only ranges are read."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.numbered_video import KINDS, Kind, write_video

from kfdet.video.packets import scan, scan_index
from kfdet.video.probe import describe
from kfdet.video.ranged import Ranged

Numbered = Callable[[str], Path]
NOT_INDEXED = ("mkv", "webm", "avi", "mts", "ts", "mp4, fragments")


class Counted:
    """Bytes that count what is read of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []
        self.ranged = Ranged(self._read, len(data))

    def _read(self, first: int, end: int) -> bytes:
        self.reads.append((first, end))
        return self.data[first:end]

    @property
    def bytes(self) -> int:
        return sum(end - first for first, end in self.reads)


@pytest.mark.parametrize("name", KINDS)
def test_the_index_tells_what_the_packets_do(numbered: Numbered, name: str) -> None:
    path = numbered(name)
    found = scan_index(path, Counted(path.read_bytes()).ranged)
    if name.startswith(NOT_INDEXED):
        assert found is None
        return
    assert found is not None
    whole = scan(path)
    assert describe(found) == describe(whole)
    assert found.pts is not None
    np.testing.assert_array_equal(found.pts, whole.pts)
    np.testing.assert_array_equal(found.order, whole.order)


@pytest.mark.parametrize("rotation", [90, 180])
@pytest.mark.parametrize("faststart", [True, False])
def test_rotated_videos_with_their_index_at_either_end(
    rotation: int, faststart: bool, tmp_path: Path
) -> None:
    options = {"movflags": "faststart"} if faststart else {}
    kind = Kind(".mp4", rotation=rotation, container_options=options)
    path = write_video(tmp_path / "a.mp4", kind)
    found = scan_index(path, Counted(path.read_bytes()).ranged)
    assert found is not None
    assert describe(found) == describe(scan(path))


def test_little_of_a_long_video_is_read(numbered: Numbered) -> None:
    """A file of 40 MB: behind the frames there is as much as a long video would have."""
    path = numbered("mp4, B-frames")
    data = path.read_bytes()
    start = data.index(b"mdat") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    more = 40_000_000
    frames = (size + more).to_bytes(4, "big") + data[start + 4 : start + size] + bytes(more)
    counted = Counted(data[:start] + frames + data[start + size :])
    found = scan_index(path, counted.ranged)
    assert found is not None
    assert describe(found) == describe(scan(path))
    assert counted.bytes < 0.02 * len(counted.data)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_video_that_is_cut_off_is_left_to_a_scan(tmp_path: Path, share: float) -> None:
    kind = Kind(".mp4", container_options={"movflags": "faststart"})
    path = write_video(tmp_path / "a.mp4", kind)
    data = path.read_bytes()
    assert scan_index(path, Counted(data[: int(len(data) * share)]).ranged) is None


def test_a_file_of_ranges_reads_like_a_file() -> None:
    data = random.Random(0).randbytes(3_000_000)
    counted = Counted(data)
    file, real = counted.ranged.file(), io.BytesIO(data)
    numbers = random.Random(1)
    for _ in range(300):
        place, length = numbers.randrange(len(data) + 9), numbers.choice((1, 900, 200_000))
        assert file.seek(place) == real.seek(place)
        assert file.read(length) == real.read(length)
        assert file.tell() == real.tell()
    assert file.seek(-5, io.SEEK_END) == len(data) - 5
    assert file.read() == data[-5:]
    assert file.read(1) == b""
    assert counted.bytes <= len(data) + (32 << 16)


def test_what_is_hollow_is_not_read() -> None:
    counted = Counted(bytes([1]) * 1_000_000)
    file = counted.ranged.file([(1000, 900_000)])
    assert file.read() == bytes([1]) * 1000 + bytes(899_000) + bytes([1]) * 100_000
    assert counted.bytes < 300_000


def test_blocks_in_order_are_read_in_fewer_and_fewer_requests() -> None:
    counted = Counted(bytes(30_000_000))
    file = counted.ranged.file()
    while file.read(32_768):
        pass
    assert counted.bytes == len(counted.data)
    assert len(counted.reads) < 24
