"""Extracted frames on disk: a few tar files of JPEGs and one parquet index.

A cluster's launcher copies artifacts file by file, so thousands of loose JPEGs would cost more than
their extraction. Any tar tool opens the shards; the index gives each picture's offset, so that a
reader needs no tar code.
"""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.errors import InputError
from kfdet.files import atomic_folder

INDEX_SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # the source's path relative to the dataset
        ("frame", pa.int64()),  # 0-based frame of the source video
        ("width", pa.int64()),  # of the stored picture
        ("height", pa.int64()),
        ("source_width", pa.int64()),  # displayed size of the source
        ("source_height", pa.int64()),
        ("seconds", pa.float64()),  # since the video's first frame
        ("shard", pa.string()),  # file name; a FrameStore makes it a whole path
        ("offset", pa.int64()),  # of the picture's bytes in the shard
        ("length", pa.int64()),
    ]
)
INDEX_FILE = "frames.parquet"
SHARD_BYTES = 256 * 1024 * 1024
MOST_SHARDS = 4
"""Shards of one lane; the last one takes whatever is left."""


class FrameWriter:
    """Writes pictures into the shards of `folder`, which appears whole when the block ends well.

    Same pictures in the same order give the same bytes. Threads may write at once if each keeps to
    a lane of its own; every lane fills shards of its own.

    Args:
        folder: Where the shards go; replaced if it exists.
        shard_bytes: A shard is closed before it grows beyond this, unless it is the lane's last.

    Raises:
        InputError: The folder cannot be written or the disk is full; nothing is left behind.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._stack = ExitStack()
        self._lanes: dict[int, _Lane] = {}
        self._seen: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> FrameWriter:
        self._temporary = self._stack.enter_context(atomic_folder(self._folder))
        return self

    def add(
        self,
        video: str,
        frame: int,
        jpeg: bytes,
        width: int,
        height: int,
        source_width: int,
        source_height: int,
        seconds: float,
        lane: int = 0,
    ) -> None:
        """Append one picture; ValueError where that frame is there already."""
        with self._lock:
            if (video, frame) in self._seen:
                raise ValueError(f"frame {frame} of {video} was written twice")
            self._seen.add((video, frame))
            if lane not in self._lanes:
                self._lanes[lane] = _Lane(self._temporary, lane, self._shard_bytes)
            target = self._lanes[lane]
        shard, offset = target.append(f"{video.lstrip('/')}/{frame:06d}.jpg", jpeg)
        row = (video, frame, width, height, source_width, source_height, seconds)
        target.rows.append((*row, shard, offset, len(jpeg)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Raised again inside the stack, the error reaches the folder, which then goes away.
        with self._stack:
            for lane in self._lanes.values():
                lane.close()
            if error is not None:
                raise error
            rows = [row for lane in self._lanes.values() for row in lane.rows]
            rows.sort(key=lambda row: row[:2])
            columns = list(zip(*rows, strict=True)) or [()] * len(INDEX_SCHEMA)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, INDEX_SCHEMA, strict=True)]
            table = pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)
            pq.write_table(table, self._temporary / INDEX_FILE)


class _Lane:
    """The open shard of one lane."""

    def __init__(self, folder: Path, number: int, shard_bytes: int) -> None:
        self._folder, self._number, self._shard_bytes = folder, number, shard_bytes
        self._shards = 0
        self._name = ""
        self._file: IO[bytes] | None = None
        self.rows: list[tuple[Any, ...]] = []

    def append(self, name: str, data: bytes) -> tuple[str, int]:
        """Write one tar member; the shard's name and the offset of the data in it."""
        if (
            self._file is not None
            and self._shards < MOST_SHARDS
            and self._file.tell() + len(data) > self._shard_bytes
        ):
            self.close()
        if self._file is None:
            self._name = f"frames-{self._number:02d}-{self._shards:05d}.tar"
            self._file = open(self._folder / self._name, "wb")  # noqa: SIM115
            self._shards += 1
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._file.write(member.tobuf(tarfile.GNU_FORMAT))
        offset = self._file.tell()
        self._file.write(data)
        self._file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        return self._name, offset

    def close(self) -> None:
        """End the open shard as tar requires it: two empty blocks."""
        if self._file is not None:
            with self._file:
                self._file.write(bytes(2 * tarfile.BLOCKSIZE))
            self._file = None


class FrameStore:
    """Reads pictures back from any number of folders that FrameWriter wrote.

    Args:
        folders: Frame folders; no frame may be in two of them.

    Attributes:
        index: One row per picture in INDEX_SCHEMA, sorted by video and frame; `shard` is a path.

    Raises:
        InputError: A folder holds no index.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.index = pa.concat_tables(
            [INDEX_SCHEMA.empty_table(), *(_read_index(folder) for folder in folders)]
        ).sort_by([("video", "ascending"), ("frame", "ascending")])
        videos = self.index["video"].to_pylist()
        frames = self.index["frame"].to_pylist()
        self._rows = {pair: row for row, pair in enumerate(zip(videos, frames, strict=True))}
        self._shard = self.index["shard"].to_pylist()
        self._offset = self.index["offset"].to_numpy()
        self._length = self.index["length"].to_numpy()
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, pair: object) -> bool:
        return pair in self._rows

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards; the next read opens them again."""
        while getattr(self, "_files", None):
            os.close(self._files.popitem()[1])

    def read(self, video: str, frame: int) -> bytes:
        """The JPEG of one frame; KeyError where it was not extracted."""
        row = self._rows[video, frame]
        shard = self._shard[row]
        if shard not in self._files:
            self._files[shard] = os.open(shard, os.O_RDONLY)
        length = int(self._length[row])
        data = os.pread(self._files[shard], length, int(self._offset[row]))
        if len(data) != length:
            raise InputError(
                "the shard is cut off.", file=shard, frame=frame, hint="Extract the frames again."
            )
        return data


def _read_index(folder: Path) -> pa.Table:
    path = folder / INDEX_FILE
    if not path.is_file():
        raise InputError(
            "this is not a folder of extracted frames: it has no index.",
            file=path,
            hint="Run frame extraction again.",
        )
    table = pq.read_table(path, schema=INDEX_SCHEMA)
    shards = [str(folder / name) for name in table["shard"].to_pylist()]
    column = INDEX_SCHEMA.get_field_index("shard")
    return table.set_column(column, INDEX_SCHEMA.field("shard"), pa.array(shards, pa.string()))
