from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.found_frames import frame_with

from kfdet.detection.sinks.tables import (
    DETECTION_SCHEMA,
    CsvSink,
    JsonLinesSink,
    ParquetSink,
)

FRAMES = [frame_with(0, ("mug", "robot")), frame_with(1), frame_with(2, ("mug",), tracks=[7])]


def write(sink: CsvSink | JsonLinesSink | ParquetSink) -> None:
    for frame in FRAMES:
        sink.write(None, frame)
    sink.close()


def test_json_lines_have_every_frame(tmp_path: Path) -> None:
    write(JsonLinesSink(tmp_path / "a.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert lines[0] == {
        "source": "film.avi",
        "frame": 0,
        "seconds": 0.0,
        "width": 40,
        "height": 20,
        "detections": [
            {"label": "mug", "score": 0.9, "box": [0.0, 1.0, 10.5, 12.0]},
            {"label": "robot", "score": 0.8, "box": [1.0, 2.0, 11.5, 13.0]},
        ],
    }
    assert lines[1]["detections"] == []
    assert lines[2]["detections"][0]["track_id"] == 7


def test_standard_output_has_each_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLinesSink(None)
    sink.write(None, FRAMES[0])
    assert json.loads(capsys.readouterr().out)["frame"] == 0
    sink.close()


def test_csv_and_parquet_have_a_row_per_detection(tmp_path: Path) -> None:
    write(CsvSink(tmp_path / "a.csv"))
    write(ParquetSink(tmp_path / "a.parquet"))
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(DETECTION_SCHEMA)
    found = [(line["label"], line["frame"]) for line in lines]
    assert found == [("mug", "0"), ("robot", "0"), ("mug", "2")]
    for line, row in zip(lines, table.to_pylist(), strict=True):
        assert line == {name: "" if value is None else str(value) for name, value in row.items()}


@pytest.mark.parametrize("kind", [CsvSink, JsonLinesSink, ParquetSink])
def test_without_a_frame_nothing_is_written(kind: type[CsvSink], tmp_path: Path) -> None:
    kind(tmp_path / "a").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [CsvSink, JsonLinesSink, ParquetSink])
def test_the_name_comes_at_the_end(kind: type[CsvSink], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("an earlier one")
    sink = kind(tmp_path / "a")
    sink.write(None, FRAMES[0])
    assert (tmp_path / "a").read_text() == "an earlier one"
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() != b"an earlier one"
