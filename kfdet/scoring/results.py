"""What scoring writes: one small table for each file, and at the end two tables of everything.

The result of a file is one object with one row per frame, and the frame's detections in it, so that
a file is scored either wholly or not at all. Coordinates are pixels of the frame as a viewer shows
it, right and bottom exclusive; frames are 0-based indices of the video (0 for a picture).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.dataset.formats.limits import MAX_BOXES, MAX_FRAMES
from kfdet.detection.stream import FrameDetections
from kfdet.errors import KfdetError
from kfdet.scoring.places import Place
from kfdet.scoring.plan import Item
from kfdet.storage.clients import CONNECTIONS

FRAMES = "frames.parquet"
DETECTIONS = "detections.parquet"
_GROUP_FRAMES = 50_000
"""In a row group, of which `_parse` takes MAX_BOXES detections: 200 on each frame."""
_MOST_BYTES = 2 << 30
"""Of the result of one file, uncompressed."""

_FRAME = (
    ("source", pa.string()),  # the file's path in the folder that is scored
    ("frame", pa.int64()),
    ("seconds", pa.float64()),  # since the first frame
    ("width", pa.int64()),
    ("height", pa.int64()),
)
_DETECTION = (
    ("label", pa.string()),
    ("score", pa.float64()),
    ("xmin", pa.float64()),
    ("ymin", pa.float64()),
    ("xmax", pa.float64()),
    ("ymax", pa.float64()),
)
RESULT_SCHEMA = pa.schema([*_FRAME, ("detections", pa.list_(pa.struct(_DETECTION)))])
FRAME_SCHEMA = pa.schema([*_FRAME, ("detections", pa.int64())])  # how many
DETECTION_SCHEMA = pa.schema([*_FRAME[:3], *_DETECTION])


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of a file in numbers; `detections` by label."""

    name: str
    frames: int
    detections: dict[str, int]


def to_bytes(frames: Sequence[FrameDetections]) -> bytes:
    """The result of one file as Parquet."""
    rows = [
        {
            "source": each.source,
            "frame": each.frame,
            "seconds": each.seconds,
            "width": each.width,
            "height": each.height,
            "detections": [
                dict(zip((name for name, _ in _DETECTION), values, strict=True))
                for values in zip(
                    each.detections.labels,
                    each.detections.scores.tolist(),
                    *each.detections.boxes.T.tolist(),
                    strict=True,
                )
            ],
        }
        for each in frames
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, RESULT_SCHEMA), file, row_group_size=_GROUP_FRAMES)
    return file.getvalue()


def merge(items: Sequence[Item], target: Place, scratch: Path) -> list[Scored]:
    """Write all results as two tables, one row per frame and one per detection, in order.

    Args:
        items: Files that are scored.
        target: The folder of the results.
        scratch: A folder of this machine for the tables.

    Returns:
        The result of each file in numbers.

    Raises:
        KfdetError: A result cannot be read.
    """
    scored = []
    with ExitStack() as stack:
        frames = stack.enter_context(pq.ParquetWriter(scratch / FRAMES, FRAME_SCHEMA))
        found = stack.enter_context(pq.ParquetWriter(scratch / DETECTIONS, DETECTION_SCHEMA))
        for item, table in _tables(items, target):
            detections = _detections(table)
            counts = pc.list_value_length(table["detections"])
            frames.write_table(
                table.set_column(len(_FRAME), "detections", counts).cast(FRAME_SCHEMA)
            )
            found.write_table(detections)
            names, numbers = np.unique(detections["label"].to_numpy(), return_counts=True)
            by_label = dict(zip(names.tolist(), numbers.tolist(), strict=True))
            scored.append(Scored(item.name, len(table), by_label))
    for name in (FRAMES, DETECTIONS):
        target.write_file(name, scratch / name)
    return scored


def _tables(items: Sequence[Item], target: Place) -> Iterator[tuple[Item, pa.Table]]:
    """The results of files, in their order; some are read ahead."""
    portion = 8 * CONNECTIONS
    with ThreadPoolExecutor(CONNECTIONS) as readers:
        for start in range(0, len(items), portion):
            part = items[start : start + portion]
            contents = readers.map(lambda item: target.read(item.result), part)
            for item, content in zip(part, contents, strict=True):
                try:
                    yield item, _parse(content)
                except (pa.ArrowException, OSError, TypeError, ValueError) as error:
                    raise KfdetError(
                        f"{target.address}/{item.result}: cannot be read: {error}. Remove it; "
                        "the same command then scores this file again."
                    ) from error


def _parse(content: bytes) -> pa.Table:
    """The result of one file.

    Raises:
        ValueError, TypeError, OSError, pa.ArrowException: The content is something else.
    """
    file = pq.ParquetFile(io.BytesIO(content))
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    # A few bytes may stand for a billion equal values.
    values = max((g.column(n).num_values for g in groups for n in range(g.num_columns)), default=0)
    size = sum(group.total_byte_size for group in groups)
    if file.metadata.num_rows > MAX_FRAMES or values > MAX_BOXES or size > _MOST_BYTES:
        raise ValueError("it holds more frames or detections than kfdet writes")
    table = file.read().cast(RESULT_SCHEMA)
    detections = pc.list_flatten(table["detections"])
    columns = [*table.columns, detections, *detections.combine_chunks().flatten()]
    if any(column.null_count for column in columns):
        raise ValueError("a value is missing")
    return table


def _detections(table: pa.Table) -> pa.Table:
    """One row per detection."""
    rows = pc.list_parent_indices(table["detections"])
    fields = pc.list_flatten(table["detections"])
    columns = [table[name].take(rows) for name, _ in _FRAME[:3]]
    columns += [pc.struct_field(fields, name) for name, _ in _DETECTION]
    return pa.table(columns, schema=DETECTION_SCHEMA)
