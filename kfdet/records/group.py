"""Writes the examples of one group of sources: TFRecord shards, and the tables about them."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from kfdet.boxes.tables import SIDES
from kfdet.files import REMAKE, read_json_as
from kfdet.planning.plan import Source
from kfdet.records.examples import Choice
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.tables import (
    BOXES_FILE,
    EXAMPLES_FILE,
    OBJECT_SCHEMA,
    OBJECTS_FILE,
    SCHEMAS,
    SHARDS_FILE,
    block_writer,
)
from kfdet.records.tfrecord import Example, ShardWriter, checksum, serialize
from kfdet.video.extraction import EncodedFrame

GROUP_FILE = "group.json"


_CROP_QUALITY = 95  # a crop is compressed a second time; this keeps the loss out of sight
_ROWS = 5000
"""Rows that are kept before they are written."""


@dataclass(frozen=True, slots=True)
class Group:
    """What group.json holds: the group's number, and the place of its shards.

    The place is an address, or the path of their folder relative to that of the tables.
    """

    number: int
    place: str


def read_group(tables: Path) -> Group:
    """What group.json beside the tables of a group holds.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_json_as(tables / GROUP_FILE, Group, hint=REMAKE)


class GroupWriter:
    """Writes the examples of a group in their order, as a context manager.

    Args:
        shards: Existing folder for the shards.
        tables: Existing folder for the tables.
        number: Of the group.
        place: Where the folder of shards will be.
    """

    def __init__(self, shards: Path, tables: Path, number: int, place: str) -> None:
        self._shards, self._tables, self._name = shards, tables, f"{number:04d}"
        self._stack = ExitStack()
        self._files: dict[str, ShardWriter] = {}
        self._writers = {
            file: self._stack.enter_context(block_writer(tables / file, schema))
            for file, schema in SCHEMAS.items()
        }
        self._rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._shown: list[tuple[FrameBoxes, Choice, slice]] = []
        text = json.dumps(asdict(Group(number, place)), ensure_ascii=False)
        (tables / GROUP_FILE).write_text(f"{text}\n", encoding="utf-8")

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is None:
                self._write_rows()

    def add(self, source: Source, choice: Choice, picture: EncodedFrame, boxes: FrameBoxes) -> None:
        """Append one example.

        Args:
            source: Its source.
            choice: What it shows.
            picture: Its frame.
            boxes: The boxes of the source.
        """
        stored = picture.width, picture.height
        crop = choice.crop(stored, source.size)
        window = crop or (0, 0, *stored)
        width, height = window[2] - window[0], window[3] - window[1]
        # Of a crop nothing: it shows no box. A background frame may show regions.
        rows = slice(0, 0) if crop else boxes.of(source.name, choice.frame)
        name = f"{source.name}/{choice.frame:06d}"
        if crop:
            name += "+{}+{}+{}+{}".format(*crop)
        record = serialize(
            Example(
                source_id=choice.source_id,
                filename=f"{name}.jpg",
                jpeg=_cut(picture.jpeg, crop) if crop else picture.jpeg,
                width=width,
                height=height,
                boxes=boxes.corners[rows] / boxes.limits[rows],
                labels=boxes.labels[rows],
                class_ids=boxes.class_ids[rows],
                occluded=boxes.occluded[rows],
                truncated=boxes.truncated(rows),
                crowd=boxes.crowd[rows],
                difficult=boxes.difficult[rows],
            )
        )
        shard, offset = self._file(choice.split).write(record)
        number = {"source_id": choice.source_id}
        place = {"shard": shard, "offset": offset, "length": len(record)}
        self._rows[SHARDS_FILE].append(number | place)
        scale = np.tile(np.divide(source.size, stored), 2)
        shown = dict(zip(SIDES, (np.array(window) * scale).tolist(), strict=True))
        self._rows[EXAMPLES_FILE].append(
            number
            | {"split": choice.split, "video": source.name, "frame": choice.frame}
            | {"kind": choice.kind, "measured": choice.measured}
            | {"width": width, "height": height, **shown, "crc32c": checksum(record)}
        )
        if rows.stop > rows.start:
            self._shown.append((boxes, choice, rows))
        if len(self._rows[EXAMPLES_FILE]) >= _ROWS:
            self._write_rows()

    def write_boxes(self, boxes: pa.Table) -> None:
        """Keep all boxes of the group beside the tables."""
        pq.write_table(boxes, self._tables / BOXES_FILE)

    def _file(self, split: str) -> ShardWriter:
        if split not in self._files:
            writer = ShardWriter(self._shards, f"{split}-{self._name}")
            self._files[split] = self._stack.enter_context(writer)
        return self._files[split]

    def _write_rows(self) -> None:
        for file, rows in self._rows.items():
            self._writers[file].add(pa.Table.from_pylist(rows, schema=SCHEMAS[file]))
        self._rows.clear()
        for boxes, shown in itertools.groupby(self._shown, key=itemgetter(0)):
            self._writers[OBJECTS_FILE].add(_objects(boxes, [each[1:] for each in shown]))
        self._shown.clear()


def _objects(boxes: FrameBoxes, shown: Sequence[tuple[Choice, slice]]) -> pa.Table:
    """OBJECT_SCHEMA of the boxes on some examples."""
    counts = [rows.stop - rows.start for _, rows in shown]
    rows = np.concatenate([np.arange(rows.start, rows.stop) for _, rows in shown])
    columns = [
        np.repeat([choice.source_id for choice, _ in shown], counts),
        np.repeat([choice.split for choice, _ in shown], counts),
        boxes.class_ids[rows],
        *boxes.corners[rows].T,
        boxes.occluded[rows],
        boxes.difficult[rows],
        boxes.crowd[rows],
        boxes.drawn[rows],
        boxes.tracks[rows],
        *boxes.neighbours.frames[rows].T,
        *boxes.neighbours.hulls[rows].T,
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, OBJECT_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=OBJECT_SCHEMA)


def _cut(jpeg: bytes, crop: tuple[int, int, int, int]) -> bytes:
    """A part of a picture: left, top, right, bottom in its pixels."""
    left, top, right, bottom = crop
    pixels = simplejpeg.decode_jpeg(jpeg)[top:bottom, left:right]
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=_CROP_QUALITY)
    return data
