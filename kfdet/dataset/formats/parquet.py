"""Parquet in BOX_SCHEMA, one row per box: the table that every later stage reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.dataset.formats.model import AnnotatedItem
from kfdet.files import atomic_file


def write(
    entries: Sequence[AnnotatedItem], _: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write one Parquet file in BOX_SCHEMA: all boxes, or those that a person drew."""
    table = pa.concat_tables([entry.boxes for entry in entries])
    with atomic_file(target) as path:
        pq.write_table(table.filter(table.column("keyframe")) if key_frames else table, path)
