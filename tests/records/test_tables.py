from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kfdet.records import tables
from kfdet.records.tables import block_writer

SCHEMA = pa.schema([("split", pa.string()), ("number", pa.int64())])
ROWS = pa.table(
    [["train" if i % 3 else "val" for i in range(1000)], list(range(1000))], schema=SCHEMA
)


def write(path: Path, pieces: list[int]) -> bytes:
    with block_writer(path, SCHEMA) as writer:
        start = 0
        for piece in pieces:
            writer.add(ROWS.slice(start, piece))
            start += piece
    return path.read_bytes()


@pytest.mark.parametrize("rows", [64, 250, 1000, 1 << 16])
def test_same_rows_same_bytes_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(tables, "_ROWS", rows)
    pieces = [[1000], [1] * 1000, [0, 999, 0, 1], [64, 250, 186, 500], [63, 1, 936]]
    written = [write(tmp_path / str(i), piece) for i, piece in enumerate(pieces)]
    assert set(written) == {written[0]}
    read = pq.ParquetFile(tmp_path / "0")
    assert read.read() == ROWS
    sizes = [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)]
    assert max(sizes) == min(rows, 1000), "memory is bounded"


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "none", [])
    assert pq.read_table(tmp_path / "none").schema == SCHEMA
