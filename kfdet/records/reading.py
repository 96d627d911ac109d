"""Reads what the TFRecord build wrote: tables, and single pictures out of the shards.

The one reader of training, evaluation, export and deployment. Each reads the pictures that it
needs, wherever the shards are; decoding them is its own business.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.errors import InputError
from kfdet.files import hash_files
from kfdet.records.description import read_description
from kfdet.records.tables import EXAMPLES_FILE, OBJECTS_FILE, SHARDS_FILE, read_rows
from kfdet.records.tfrecord import CHECKSUM_BYTES, LABEL_MAP_FILE, checked, parse, read_label_map

SIDE_NAMES = {"train": "training", "val": "validation", "test": "test"}

Integers = npt.NDArray[np.integer[Any]]

ReadRange = Callable[[int, int], bytes]
"""Offset and length to the bytes there; fewer where the file ends."""

_SIDE_BY_SIDE = 16
"""Requests at a time: a bucket answers each in some milliseconds, however many there are."""


def open_file(path: Path) -> ReadRange:
    """Ranges of a local file, which stays open."""
    hint = "Build the records again."
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else a pipe waits for its end
        file = os.fdopen(descriptor, "rb", buffering=0)  # closed when nobody reads any more
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path, hint=hint) from error
    except ValueError as error:
        raise InputError("is not a valid file name.", file=repr(str(path)), hint=hint) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise InputError("is a pipe or a device, not a file.", file=path, hint=hint)
    return lambda offset, length: os.pread(file.fileno(), length, offset)


class Records:
    """A folder of records; usable from several threads, as a context manager.

    Args:
        folder: Folder that the TFRecord build wrote.
        open_shard: Opens a shard by its place in the table of shards: an address, or a path
            relative to the folder.

    Raises:
        InputError: It is not such a folder, or one of an older version.
    """

    def __init__(self, folder: Path, open_shard: Callable[[str], ReadRange] | None = None) -> None:
        self.folder = folder
        self._open = open_shard or (lambda place: open_file(folder / place))
        self._shards: dict[str, ReadRange] = {}
        self._pool: ThreadPoolExecutor | None = None
        if not (folder / EXAMPLES_FILE).is_file():
            raise InputError("the index of the records is missing.", file=folder / EXAMPLES_FILE)
        if not (folder / SHARDS_FILE).is_file():
            raise InputError(
                "these records were made by an older version of kfdet.",
                file=folder,
                hint="Run `kfdet run` again, or name the dataset: kfdet evaluate RUN DATASET.",
            )

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        self._shards.clear()

    @cached_property
    def description(self) -> dict[str, Any]:
        """The content of dataset.json: labels, split, counts and statistics."""
        return read_description(self.folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names; class id = position + 1."""
        return tuple(self.description["labels"])

    @cached_property
    def sides(self) -> frozenset[str]:
        """The splits that there are."""
        splits = read_rows(self.folder / EXAMPLES_FILE, ["split"])["split"]
        return frozenset(pc.unique(splits).to_pylist())

    @property
    def measured_side(self) -> str:
        """The split that evaluation reports: "test" where there is one, else "val"."""
        return "test" if "test" in self.sides else "val"

    def examples(self, side: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of EXAMPLE_SCHEMA, in the order of sources and frames.

        Raises:
            InputError: There is none.
        """
        path = self.folder / EXAMPLES_FILE
        table = read_rows(path, columns, pc.field("split") == side)
        if not len(table):
            raise InputError(
                f"there is no {SIDE_NAMES[side]} example.",
                file=path,
                hint="Label more frames, raise val_share, or add a video.",
            )
        return table

    def objects(self, side: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of OBJECT_SCHEMA, in the order of the examples.

        Raises:
            InputError: A class has no label.
        """
        path = self.folder / OBJECTS_FILE
        table = read_rows(path, columns, pc.field("split") == side)
        if "class_id" in table.column_names and len(table):
            highest = pc.max(table["class_id"]).as_py()
            if highest > len(read_label_map(self.folder / LABEL_MAP_FILE)):
                raise InputError(
                    f"the class {highest} is not in {LABEL_MAP_FILE}.",
                    file=path,
                    hint="Build the records again.",
                )
        return table

    def rows(self, file: str, source_ids: Sequence[int]) -> pa.Table:
        """The rows of some examples in one of the tables."""
        wanted = pc.field("source_id").isin(list(source_ids))
        return read_rows(self.folder / file, filters=wanted)

    def digest(self) -> str:
        """SHA-256 of all that training reads; the same however the records are cut into shards."""
        names = (LABEL_MAP_FILE, EXAMPLES_FILE, OBJECTS_FILE)
        return hash_files([self.folder / name for name in names], self.folder)

    def picture(self, source_id: int) -> bytes:
        """The JPEG of one example.

        Raises:
            InputError: There is no such example, or its shard is cut off or damaged.
        """
        places = self._places
        row = int(np.searchsorted(places.ids, source_id))
        if row == len(places.ids) or places.ids[row] != source_id:
            raise InputError(f"there is no example {source_id}.", file=self.folder)
        shard = places.names[places.shards[row]]
        if shard not in self._shards:
            self._shards[shard] = self._open(shard)
        read, length = self._shards[shard], int(places.lengths[row])
        record = read(int(places.offsets[row]), length + CHECKSUM_BYTES)
        file = shard if "://" in shard else os.path.normpath(self.folder / shard)
        return parse(checked(record, length, file)).jpeg

    def pictures(self, source_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """The JPEGs of some examples in this order, read ahead side by side."""
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        for source_id in source_ids:
            waiting.append((source_id, self.request(source_id)))
            if len(waiting) > _SIDE_BY_SIDE:
                first, jpeg = waiting.popleft()
                yield first, jpeg.result()
        while waiting:
            first, jpeg = waiting.popleft()
            yield first, jpeg.result()

    def request(self, source_id: int) -> Future[bytes]:
        """`picture`, while something else is done."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
        return self._pool.submit(self.picture, source_id)

    @cached_property
    def _places(self) -> _Places:
        table = read_rows(self.folder / SHARDS_FILE).sort_by("source_id")
        shards = table["shard"].unify_dictionaries().combine_chunks()
        return _Places(
            table["source_id"].to_numpy(),
            shards.dictionary.to_pylist(),
            shards.indices.to_numpy(),
            table["offset"].to_numpy(),
            table["length"].to_numpy(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where every example is: SHARD_SCHEMA as arrays, sorted."""

    ids: Integers
    names: Sequence[str]
    shards: Integers
    offsets: Integers
    lengths: Integers
