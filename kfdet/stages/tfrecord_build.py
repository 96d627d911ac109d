"""Stage: one set of records out of the shards of all groups: label map, tables and statistics."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from kfdet.boxes.tables import BOX_SCHEMA, read_table
from kfdet.detection.drawing import draw_boxes, palette
from kfdet.errors import InputError
from kfdet.files import atomic_file, atomic_folder, write_zip
from kfdet.planning.plan import Plan, read_plan
from kfdet.records.description import DATASET_FILE
from kfdet.records.group import read_group
from kfdet.records.merging import kept_examples, only
from kfdet.records.reading import Records
from kfdet.records.statistics import (
    SAMPLES_FILE,
    BoxCounter,
    Sample,
    choose_samples,
    describe_dataset,
)
from kfdet.records.tables import (
    BOXES_FILE,
    EXAMPLE_SCHEMA,
    EXAMPLES_FILE,
    SCHEMAS,
    SHARD_SCHEMA,
    SHARDS_FILE,
    block_writer,
)
from kfdet.records.tfrecord import LABEL_MAP_FILE, write_label_map
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.shards import open_records

_SAMPLE_SIDE = 960  # longest side of a sample picture, pixels
_SAMPLE_QUALITY = 88


def build_tfrecords(
    dataset: str, plan_dir: Path, indexes: Sequence[Path], records: Path, all_boxes: Path
) -> None:
    """Make the records of a dataset of those of its groups; the shards stay where they are.

    The same data and seed give the same bytes, whatever the groups are; only the places of the
    shards differ.

    Args:
        dataset: The dataset's folder or bucket URI, for messages.
        plan_dir: The folder that planning wrote.
        indexes: The tables of every group (`kfdet.stages.frame_extraction`), in any order.
        records: Folder to create: label_map.pbtxt, examples.parquet, objects.parquet,
            shards.parquet, dataset.json and samples.zip.
        all_boxes: Parquet file to create: the boxes of all groups (BOX_SCHEMA).

    Raises:
        InputError: There is nothing to train on or to validate with.
    """
    plan = read_plan(plan_dir)
    groups = {index: read_group(index) for index in indexes}
    indexes = sorted(indexes, key=lambda index: groups[index].number)
    places = {index: groups[index].place for index in indexes}
    counter = BoxCounter()
    with atomic_file(all_boxes) as path, block_writer(path, BOX_SCHEMA) as boxes:
        for index in indexes:
            table = read_table(index / BOXES_FILE, BOX_SCHEMA)
            boxes.add(table)
            counter.add(table)
        if not counter.boxes:
            raise InputError(
                "there is no box on any frame.",
                file=dataset,
                hint="Draw boxes on key frames, or run `kfdet check`.",
            )
        with atomic_folder(records) as folder:
            _merge(plan, places, folder, records)
            write_label_map(folder / LABEL_MAP_FILE, plan.labels)
            with open_records(folder) as merged:
                description = describe_dataset(plan, merged, counter)
                description["samples"] = _write_samples(folder, merged, plan.labels)
            text = json.dumps(description, indent=1, ensure_ascii=False, sort_keys=True)
            (folder / DATASET_FILE).write_text(text + "\n", encoding="utf-8")


def _merge(plan: Plan, groups: Mapping[Path, str], folder: Path, final: Path) -> None:
    """Join the tables of all groups, whose shards are at some place, in the order of the groups.

    Places that are paths become relative to `final`, where the folder goes.
    """
    columns = ["source_id", "split", "kind", "measured"]
    kept = kept_examples(
        pa.concat_tables(
            [
                EXAMPLE_SCHEMA.empty_table().select(columns),
                *(read_table(index / EXAMPLES_FILE, EXAMPLE_SCHEMA, columns) for index in groups),
            ]
        ),
        trains=any(source.train for source in plan.sources),
        tests=any(source.test for source in plan.sources),
    )
    for file, schema in SCHEMAS.items():
        with block_writer(folder / file, schema) as writer:
            for index, place in groups.items():
                table = only(read_table(index / file, schema), kept)
                if file == SHARDS_FILE:
                    table = _at(table, _from(final, index, place))
                writer.add(table)


def _from(folder: Path, index: Path, place: str) -> str:
    """The address of a group's shards, or their path from a folder."""
    if is_bucket_uri(place):
        return place.rstrip("/")
    return os.path.relpath(os.path.normpath(index / place), folder)


def _at(table: pa.Table, place: str) -> pa.Table:
    """A table of shards that are in this place."""
    names = pc.binary_join_element_wise(place, table["shard"].cast(pa.string()), "/")
    at = table.schema.get_field_index("shard")
    return table.set_column(at, SHARD_SCHEMA.field("shard"), names.dictionary_encode())


def _write_samples(
    folder: Path, records: Records, labels: Sequence[str]
) -> list[dict[str, str | int]]:
    """Sample pictures, and what each one shows."""
    samples: list[dict[str, str | int]] = []
    pictures: dict[str, bytes] = {}
    chosen = choose_samples(records, len(labels))
    jpegs = records.pictures(sample.source_id for sample in chosen)
    for number, (sample, (_, jpeg)) in enumerate(zip(chosen, jpegs, strict=True)):
        name = f"{number:02d}-{sample.split}-{sample.kind}.jpg"
        pictures[name] = _draw_sample(sample, jpeg, labels)
        samples.append(
            {
                "file": name,
                "split": sample.split,
                "kind": sample.kind,
                "video": sample.video,
                "frame": sample.frame,
            }
        )
    write_zip(folder / SAMPLES_FILE, pictures)
    return samples


def _draw_sample(sample: Sample, jpeg: bytes, labels: Sequence[str]) -> bytes:
    """The picture of an example with its boxes, no side longer than 960 pixels, as JPEG."""
    picture: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg)
    factor = min(1.0, _SAMPLE_SIDE / max(picture.shape[:2]))
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    drawn = draw_boxes(
        picture,
        sample.boxes * np.array([width, height] * 2),
        [labels[number - 1] for number in sample.classes],
        colors=palette(labels),
        dashed=~sample.drawn,
    )
    data: bytes = simplejpeg.encode_jpeg(drawn, quality=_SAMPLE_QUALITY, colorsubsampling="420")
    return data
