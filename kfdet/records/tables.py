"""The tables beside the TFRecords: readers that need no pixels read nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.boxes.tables import read_table
from kfdet.dataset.formats.limits import MAX_FRAMES, MAX_ID, MAX_LABELS, MAX_SIDE
from kfdet.errors import InputError

EXAMPLES_FILE = "examples.parquet"
OBJECTS_FILE = "objects.parquet"
SHARDS_FILE = "shards.parquet"
BOXES_FILE = "boxes.parquet"

EXAMPLE_SCHEMA = pa.schema(
    [
        ("source_id", pa.int64()),  # unique over all splits; rises with source and frame
        ("split", pa.string()),
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("kind", pa.string()),  # "frame" has boxes, "background" and "crop" have none
        ("measured", pa.bool_()),  # it is truth: evaluation measures on it
        ("width", pa.int64()),  # of the stored picture
        ("height", pa.int64()),
        ("xmin", pa.float64()),  # the window of the source that the picture shows, in its pixels
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
        ("crc32c", pa.int64()),  # of the record
    ]
)
"""One row per example."""

OBJECT_SCHEMA = pa.schema(
    [
        ("source_id", pa.int64()),
        ("split", pa.string()),
        ("class_id", pa.int64()),  # from 1
        ("xmin", pa.float64()),  # in pixels of the source
        ("ymin", pa.float64()),
        ("xmax", pa.float64()),
        ("ymax", pa.float64()),
        ("occluded", pa.bool_()),
        ("difficult", pa.bool_()),  # trains, but is not scored
        ("crowd", pa.bool_()),  # not an object but a region that is not judged
        ("drawn", pa.bool_()),  # a person drew it on this frame
        ("track", pa.int64()),  # UNTRACKED without one
        ("key_before", pa.int64()),  # the key frames between which it lies, NO_KEY without one
        ("key_after", pa.int64()),
        ("hull_xmin", pa.float64()),  # around the track's boxes on these
        ("hull_ymin", pa.float64()),
        ("hull_xmax", pa.float64()),
        ("hull_ymax", pa.float64()),
    ]
)
"""One row per box on an example, in the order of the examples."""

SHARD_SCHEMA = pa.schema(
    [
        ("source_id", pa.int64()),
        # file name; of finished records the URI, or the path relative to their folder
        ("shard", pa.dictionary(pa.int32(), pa.string())),
        ("offset", pa.int64()),  # of the record's data in the shard
        ("length", pa.int64()),
    ]
)
"""Where each example is."""

SCHEMAS = {EXAMPLES_FILE: EXAMPLE_SCHEMA, OBJECTS_FILE: OBJECT_SCHEMA, SHARDS_FILE: SHARD_SCHEMA}
"""The tables of a group, and of all of them joined."""

_BOUNDS = {
    "source_id": (0, MAX_ID),
    "frame": (0, MAX_FRAMES),
    "width": (1, MAX_SIDE),
    "height": (1, MAX_SIDE),
    "class_id": (1, MAX_LABELS),
    "offset": (0, MAX_ID),
    "length": (1, 1 << 30),
}
"""The least and the largest value of a column."""
_ROWS = 1 << 16


class BlockWriter:
    """Writes a table piece by piece: the same rows give the same bytes, whatever the pieces."""

    def __init__(self, file: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._file, self._pending = file, schema.empty_table()

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._pending = pa.concat_tables([self._pending, table.cast(self._pending.schema)])
        while len(self._pending) >= _ROWS:
            self._write(self._pending.slice(0, _ROWS))
            self._pending = self._pending.slice(_ROWS)

    def finish(self) -> None:
        """Write what is left."""
        self._write(self._pending)

    def _write(self, block: pa.Table) -> None:
        self._file.write_table(block.combine_chunks(), row_group_size=_ROWS)


@contextmanager
def block_writer(path: Path, schema: pa.Schema) -> Iterator[BlockWriter]:
    """A parquet file of `schema` that grows by pieces."""
    with pq.ParquetWriter(path, schema) as file:
        writer = BlockWriter(file, schema)
        yield writer
        writer.finish()


def read_rows(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """The rows of one of the tables; their numbers are within what kfdet writes.

    Args:
        path: The table; its file name says which one.
        columns: As for `kfdet.boxes.tables.read_table`.
        filters: Likewise.

    Raises:
        InputError: It cannot be read, or holds something else.
    """
    table = read_table(path, SCHEMAS[path.name], columns, filters)
    for name in _BOUNDS.keys() & set(table.column_names):
        found, (least, most) = pc.min_max(table[name]).as_py(), _BOUNDS[name]
        if len(table) and not least <= found["min"] <= found["max"] <= most:
            raise InputError(
                f"{name} must be {least:,} to {most:,}, got {found['min']:,} to {found['max']:,}.",
                file=path,
                hint="Build the records again.",
            )
    return table
