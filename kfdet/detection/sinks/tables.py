"""Detections as rows: JSON lines with one line per frame, CSV and Parquet with one row per box."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.boxes.tables import SIDES
from kfdet.detection.pictures import Picture
from kfdet.detection.sinks.result import ResultFile
from kfdet.detection.stream import FrameDetections

DETECTION_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("frame", pa.int64()),
        ("seconds", pa.float64()),
        ("label", pa.string()),
        ("score", pa.float64()),
        *((side, pa.float64()) for side in SIDES),
        ("track_id", pa.int64()),
    ]
)
"""One row per detection: boxes in float pixels of the source, right and bottom exclusive; the track
is null where nobody tracked, and UNTRACKED for an object that belongs to none."""

_GROUP = 50_000
"""Rows that are collected before they are written to a Parquet file."""


def rows(found: FrameDetections) -> Iterator[dict[str, Any]]:
    """The detections of a frame as rows of DETECTION_SCHEMA, best score first."""
    detections = found.detections
    scores, boxes = detections.scores.tolist(), detections.boxes.tolist()
    tracks = [None] * len(scores) if detections.tracks is None else detections.tracks.tolist()
    for label, score, box, track in zip(detections.labels, scores, boxes, tracks, strict=True):
        yield {
            "source": found.source,
            "frame": found.frame,
            "seconds": round(found.seconds, 6),
            "label": label,
            "score": round(score, 6),
            **{side: round(value, 3) for side, value in zip(SIDES, box, strict=True)},
            "track_id": track,
        }


def record(found: FrameDetections) -> dict[str, Any]:
    """A frame with its detections as one JSON object."""
    return {
        "source": found.source,
        "frame": found.frame,
        "seconds": round(found.seconds, 6),
        "width": found.width,
        "height": found.height,
        "detections": [
            {
                "label": row["label"],
                "score": row["score"],
                "box": [row[side] for side in SIDES],
                **({} if row["track_id"] is None else {"track_id": row["track_id"]}),
            }
            for row in rows(found)
        ],
    }


class _TextSink:
    """Lines of text in a file; or on standard output, each there at once.

    Args:
        path: The file; None: standard output.
    """

    pictures = False

    def __init__(self, path: Path | None) -> None:
        self._result = ResultFile(path, _open) if path else None

    def _file(self) -> AbstractContextManager[IO[str]]:
        return self._result.writing() if self._result else nullcontext(sys.stdout)

    def close(self) -> None:
        """Give the file its name."""
        if self._result:
            self._result.finish()


def _open(path: Path) -> IO[str]:
    return path.open("w", newline="", encoding="utf-8")


class JsonLinesSink(_TextSink):
    """One line per frame (see `record`), also of frames without a detection."""

    def write(self, _: Picture | None, found: FrameDetections) -> None:
        """Add the line of a frame."""
        with self._file() as file:
            print(json.dumps(record(found), ensure_ascii=False), file=file, flush=not self._result)


class CsvSink(_TextSink):
    """The columns of DETECTION_SCHEMA, one row per detection."""

    _begun = False

    def write(self, _: Picture | None, found: FrameDetections) -> None:
        """Add the rows of a frame."""
        with self._file() as file:
            writer = csv.DictWriter(file, DETECTION_SCHEMA.names)
            if not self._begun:
                writer.writeheader()
                self._begun = True
            writer.writerows(rows(found))
            if not self._result:
                file.flush()


class ParquetSink:
    """One row per detection in DETECTION_SCHEMA."""

    pictures = False

    def __init__(self, path: Path) -> None:
        self._rows: list[dict[str, Any]] = []
        self._result: ResultFile[pq.ParquetWriter] = ResultFile(
            path, lambda temporary: pq.ParquetWriter(temporary, DETECTION_SCHEMA)
        )

    def write(self, _: Picture | None, found: FrameDetections) -> None:
        """Add the rows of a frame."""
        self._rows += rows(found)
        with self._result.writing() as writer:
            if len(self._rows) >= _GROUP:
                self._flush(writer)

    def close(self) -> None:
        """Write what is left, and give the file its name."""
        if self._rows:
            with self._result.writing() as writer:
                self._flush(writer)
        self._result.finish()

    def _flush(self, writer: pq.ParquetWriter) -> None:
        writer.write_table(pa.Table.from_pylist(self._rows, DETECTION_SCHEMA))
        self._rows = []
