"""A folder of records with everything that the TFRecord build writes, from pictures in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.boxes.neighbours import NO_KEY
from kfdet.boxes.tables import UNTRACKED
from kfdet.records.examples import KINDS
from kfdet.records.tables import (
    EXAMPLE_SCHEMA,
    EXAMPLES_FILE,
    OBJECT_SCHEMA,
    OBJECTS_FILE,
    SHARD_SCHEMA,
    SHARDS_FILE,
)
from kfdet.records.tfrecord import Example, ShardWriter, checksum, serialize, write_label_map

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class Labelled:
    """An example, and what the tables say beyond it.

    Args:
        example: The example.
        split: Its side.
        video: Its source.
        frame: Its frame.
        source: Width and height of the source; None: those of the picture.
        drawn: Which boxes a person drew; None: all.
        tracks: Their tracks; None: none.
        keys: The key frames beside each; None: not known.
    """

    example: Example
    split: str = "val"
    video: str = "film.mp4"
    frame: int = 0
    source: tuple[int, int] | None = None
    drawn: Sequence[bool] | None = None
    tracks: Sequence[int] | None = None
    keys: Sequence[tuple[int, int]] | None = None

    def row(self, record: bytes) -> dict[str, Any]:
        """The row of EXAMPLE_SCHEMA."""
        size = self.source or (self.example.width, self.example.height)
        return {
            "source_id": self.example.source_id,
            "split": self.split,
            "video": self.video,
            "frame": self.frame,
            "kind": "frame" if len(self.example.boxes) else "background",
            "measured": self.split != "train",
            "width": self.example.width,
            "height": self.example.height,
            **dict(zip(SIDES, (0.0, 0.0, *map(float, size)), strict=True)),
            "crc32c": checksum(record),
        }

    def objects(self) -> Iterable[dict[str, Any]]:
        """The rows of OBJECT_SCHEMA."""
        example = self.example
        size = np.array([*(self.source or (example.width, example.height))] * 2, float)
        for i, box in enumerate((example.boxes * size).tolist()):
            before, after = self.keys[i] if self.keys else (NO_KEY, NO_KEY)
            yield {
                "source_id": example.source_id,
                "split": self.split,
                "class_id": int(example.class_ids[i]),
                **dict(zip(SIDES, box, strict=True)),
                **{f"hull_{side}": value for side, value in zip(SIDES, box, strict=True)},
                "occluded": bool(example.occluded[i]),
                "difficult": bool(example.difficult[i]),
                "crowd": bool(example.crowd[i]),
                "drawn": self.drawn is None or bool(self.drawn[i]),
                "track": UNTRACKED if self.tracks is None else self.tracks[i],
                "key_before": before,
                "key_after": after,
            }


_COUNTS = ("boxes", "key_boxes", "interpolated_boxes", "occluded_boxes", "tracks")
_BOXES = ("width", "height", "area", "aspect", "boxes_per_image")


def write_records(
    folder: Path,
    pictures: Iterable[Labelled],
    labels: Sequence[str],
    description: Mapping[str, Any] | None = None,
) -> Path:
    """Write records into `folder`, shards included.

    Args:
        folder: Where to.
        pictures: Side after side, their numbers rising.
        labels: All labels.
        description: More of dataset.json than the labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    examples: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    places: list[dict[str, Any]] = []
    writers: dict[str, ShardWriter] = {}
    for each in pictures:
        if each.split not in writers:
            writers[each.split] = ShardWriter(folder, each.split)
        record = serialize(each.example)
        shard, offset = writers[each.split].write(record)
        examples.append(each.row(record))
        objects += each.objects()
        place = {"shard": shard, "offset": offset, "length": len(record)}
        places.append({"source_id": each.example.source_id} | place)
    for writer in writers.values():
        with writer:
            pass
    for file, rows, schema in (
        (EXAMPLES_FILE, examples, EXAMPLE_SCHEMA),
        (OBJECTS_FILE, objects, OBJECT_SCHEMA),
        (SHARDS_FILE, places, SHARD_SCHEMA),
    ):
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / file)
    write_label_map(folder / "label_map.pbtxt", labels)
    counts = dict.fromkeys(("examples", *KINDS, *_COUNTS), 0) | {"labels": dict.fromkeys(labels, 0)}
    described = {
        "labels": list(labels),
        "split": {"strategy": "video", "seed": 0, "val_share": 0.2, "train_sources": []}
        | {"train_frames": 0, "val_frames": 0},
        "counts": {"train": counts, "val": counts},
        "boxes": {name: {} for name in _BOXES},
        "sources": [],
    } | dict(description or {})
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder
