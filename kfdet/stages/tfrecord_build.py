"""Stage: all sides of the split as TFRecords, with label map, statistics and sample pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from kfdet import events
from kfdet.boxes.tables import BOX_ORDER, BOX_SCHEMA
from kfdet.detection.drawing import draw_boxes, palette
from kfdet.errors import InputError
from kfdet.files import atomic_file, atomic_folder, write_zip
from kfdet.planning.coverage import covered_by_source
from kfdet.planning.plan import read_key_frames, read_plan
from kfdet.records.examples import (
    SelectedExample,
    choose_examples,
    example_table,
    splits_of,
)
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.statistics import SAMPLES_FILE, choose_samples, describe_dataset
from kfdet.records.tfrecord import (
    LABEL_MAP_FILE,
    Example,
    serialize,
    write_label_map,
    write_shards,
)
from kfdet.video.shards import FrameStore

EXAMPLES_FILE = "examples.parquet"
DATASET_FILE = "dataset.json"
_SAMPLE_SIDE = 960  # longest side of a sample picture, pixels
_SAMPLE_QUALITY = 88
_CROP_QUALITY = 95  # a crop is compressed a second time; this keeps the loss out of sight


def build_tfrecords(
    dataset: str,
    plan_dir: Path,
    boxes: Sequence[Path],
    frames: Sequence[Path],
    negatives: Path,
    records: Path,
    all_boxes: Path,
    *,
    seed: int,
) -> None:
    """Write the examples of all sides of a dataset; same input and seed, same bytes.

    Args:
        dataset: The dataset's folder or bucket URI, for messages.
        plan_dir: The folder that planning wrote.
        boxes: One parquet file (BOX_SCHEMA) per group.
        frames: One folder of extracted frames per group.
        negatives: The parquet file that negative mining wrote.
        records: Folder to create: shards, label_map.pbtxt, examples.parquet, dataset.json and
            samples.zip.
        all_boxes: Parquet file to create: the boxes of all groups.
        seed: Seed of the order of the training examples; the others keep the order of the frames.

    Raises:
        InputError: There is nothing to train on or to validate with, or the inputs do not match.
    """
    plan = read_plan(plan_dir)
    table = pa.concat_tables([BOX_SCHEMA.empty_table(), *(_read(path) for path in boxes)])
    if not len(table):
        raise InputError(
            "there is no box on any frame.",
            file=dataset,
            hint="Draw boxes on key frames, or run `kfdet check`.",
        )
    frame_boxes = FrameBoxes(table, plan)
    with FrameStore(frames) as store:
        examples = choose_examples(
            plan,
            frame_boxes,
            store.index,
            pq.read_table(negatives),
            covered_by_source(plan.sources, read_key_frames(plan_dir)),
        )
        with atomic_folder(records) as folder:
            _write_records(folder, examples, frame_boxes, store, seed)
            write_label_map(folder / LABEL_MAP_FILE, plan.labels)
            pq.write_table(example_table(examples), folder / EXAMPLES_FILE)
            description = describe_dataset(plan, frame_boxes, examples)
            description["samples"] = _write_samples(
                folder, examples, frame_boxes, store, plan.labels
            )
            text = json.dumps(description, indent=1, ensure_ascii=False, sort_keys=True)
            (folder / DATASET_FILE).write_text(text + "\n", encoding="utf-8")
    with atomic_file(all_boxes) as path:
        pq.write_table(table.sort_by(BOX_ORDER), path)


def _read(path: Path) -> pa.Table:
    return pq.read_table(path).cast(BOX_SCHEMA)


def _write_records(
    folder: Path,
    examples: Sequence[SelectedExample],
    boxes: FrameBoxes,
    store: FrameStore,
    seed: int,
) -> None:
    """The shards of every split; training examples shuffled, as readers shuffle only nearby."""
    lengths = dict(
        zip(
            zip(store.index["video"].to_pylist(), store.index["frame"].to_pylist(), strict=True),
            store.index["length"].to_pylist(),
            strict=True,
        )
    )
    progress = events.Progress("write TFRecords", len(examples), "examples")

    def serialized(ordered: Sequence[SelectedExample]) -> Iterator[bytes]:
        for example in ordered:
            yield _serialize(example, boxes, store)
            progress.advance()

    for split in splits_of(examples):
        ordered = [e for e in examples if e.split == split]
        if split == "train":
            order = np.random.default_rng(seed).permutation(len(ordered))
            ordered = [ordered[i] for i in order]
        total = sum(lengths[e.video, e.frame] for e in ordered)
        write_shards(folder, split, serialized(ordered), len(ordered), total)


def _picture(example: SelectedExample, store: FrameStore) -> bytes:
    """The JPEG of an example: as extracted, or a crop of that."""
    jpeg = store.read(example.video, example.frame)
    if example.crop is None:
        return jpeg
    left, top, right, bottom = example.crop
    pixels = simplejpeg.decode_jpeg(jpeg)[top:bottom, left:right]
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=_CROP_QUALITY)
    return data


def _serialize(example: SelectedExample, boxes: FrameBoxes, store: FrameStore) -> bytes:
    # Of a crop nothing: it shows no box. A background frame may show regions.
    rows = slice(0, 0) if example.crop else boxes.of(example.video, example.frame)
    name = f"{example.video}/{example.frame:06d}"
    if example.crop is not None:
        name += "+{}+{}+{}+{}".format(*example.crop)
    width, height = example.size
    return serialize(
        Example(
            source_id=example.source_id,
            filename=f"{name}.jpg",
            jpeg=_picture(example, store),
            width=width,
            height=height,
            boxes=boxes.corners[rows] / boxes.limits[rows],
            labels=boxes.labels[rows],
            class_ids=boxes.class_ids[rows],
            occluded=boxes.occluded[rows],
            truncated=boxes.truncated(rows),
            crowd=boxes.crowd[rows],
            difficult=boxes.difficult[rows],
            drawn=boxes.drawn[rows],
            tracks=boxes.tracks[rows],
            keys=boxes.neighbours.frames[rows],
            hulls=boxes.neighbours.hulls[rows] / boxes.limits[rows],
        )
    )


def _write_samples(
    folder: Path,
    examples: Sequence[SelectedExample],
    boxes: FrameBoxes,
    store: FrameStore,
    labels: Sequence[str],
) -> list[dict[str, str | int]]:
    """Sample pictures, and what each one shows."""
    samples: list[dict[str, str | int]] = []
    pictures: dict[str, bytes] = {}
    for number, example in enumerate(choose_samples(examples, boxes, labels)):
        name = f"{number:02d}-{example.split}-{example.kind}.jpg"
        pictures[name] = _draw_sample(example, _picture(example, store), boxes, labels)
        samples.append(
            {
                "file": name,
                "split": example.split,
                "kind": example.kind,
                "video": example.video,
                "frame": example.frame,
            }
        )
    write_zip(folder / SAMPLES_FILE, pictures)
    return samples


def _draw_sample(
    example: SelectedExample, jpeg: bytes, boxes: FrameBoxes, labels: Sequence[str]
) -> bytes:
    """The picture of an example with its boxes, no side longer than 960 pixels, as JPEG."""
    picture = simplejpeg.decode_jpeg(jpeg)
    factor = min(1.0, _SAMPLE_SIDE / max(picture.shape[:2]))
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    rows = boxes.objects(example.video, example.frame)
    height, width = picture.shape[:2]
    scale = np.array([width / example.source[0], height / example.source[1]] * 2)
    drawn = draw_boxes(
        picture,
        boxes.corners[rows] * scale,
        [boxes.labels[row] for row in rows],
        colors=palette(labels),
        dashed=~boxes.drawn[rows],
    )
    data: bytes = simplejpeg.encode_jpeg(drawn, quality=_SAMPLE_QUALITY, colorsubsampling="420")
    return data
