"""Decoded examples at the training size: read the TFRecords once, then never decode again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.errors import InputError
from kfdet.events import Progress
from kfdet.files import explain_os_error

_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/source_id": tf.io.FixedLenFeature([], tf.string),
    "image/object/bbox/ymin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/xmin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/ymax": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/xmax": tf.io.VarLenFeature(tf.float32),
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    "image/object/is_crowd": tf.io.VarLenFeature(tf.int64),
}


@dataclass(frozen=True)
class ExampleSet:
    """One split, decoded.

    Args:
        images: uint8 (N, height, width, 3), RGB, letterboxed to the training size; on disk.
        boxes: float32 (B, 4), ymin, xmin, ymax, xmax in input pixels, image after image.
        classes: int32 (B,), class ids from 1.
        crowds: bool (B,), true for boxes that are ignored.
        offsets: int64 (N + 1,), where each image's boxes begin.
        source_ids: int64 (N,).
        scales: float32 (N,), input pixels a source pixel.
        sizes: int32 (N, 2), source height and width.
    """

    images: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    crowds: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    source_ids: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.source_ids)

    def of(self, index: int) -> slice:
        """Where the boxes of image `index` stand."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


def record_files(records: Path, split: str) -> list[str]:
    """The shards of one split, in order.

    Raises:
        InputError: There are none.
    """
    files = sorted(str(path) for path in records.glob(f"{split}-*.tfrecord"))
    if not files:
        raise InputError(
            f"has no {split}-*.tfrecord files.", file=records, hint="Build the TFRecords first."
        )
    return files


def _image_file(path: Path, shape: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    try:
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            # A mapped file on a full disk is a crash at the first write; this is an error.
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    except OSError as error:
        raise explain_os_error(error, path) from error
    return images


def decode_examples(records: Path, split: str, height: int, width: int, cache: Path) -> ExampleSet:
    """Decode one split of `records` to `height` x `width` and keep the images in file `cache`.

    Args:
        records: Folder that the TFRecord build wrote.
        split: "train" or "val".
        height: Input height in pixels.
        width: Input width in pixels.
        cache: File for the decoded images; overwritten.

    Raises:
        InputError: The split is missing or empty, or the disk is full.
    """
    splits = pq.read_table(records / "examples.parquet", columns=["split"])["split"]
    total = int(pc.sum(pc.equal(splits, split)).as_py() or 0)
    files = record_files(records, split)

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, _FEATURES)
        image, scale, size = decode_and_letterbox(example["image/encoded"], height, width)
        dense = {k: tf.sparse.to_dense(v) for k, v in example.items() if "/object/" in k}
        return {
            "image": image,
            "scale": scale,
            "size": size,
            "id": tf.strings.to_number(example["image/source_id"], tf.int64),
            "boxes": tf.stack(
                [dense[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")],
                axis=-1,
            ),
            "classes": tf.cast(dense["image/object/class/label"], tf.int32),
            "crowds": dense["image/object/is_crowd"],
        }

    images = _image_file(cache, (total, height, width, 3))
    columns: dict[str, list[npt.NDArray[np.generic]]] = {
        name: [] for name in ("scale", "size", "id", "boxes", "classes", "crowds")
    }
    progress = Progress(f"decoding {split} examples", total, "images")
    dataset = tf.data.TFRecordDataset(files).map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    for index, example in enumerate(dataset.prefetch(16).as_numpy_iterator()):
        images[index] = example["image"]
        for name, column in columns.items():
            column.append(example[name])
        progress.advance()
    if not total:
        raise InputError(
            f"holds no {split} example.", file=records, hint="Label more frames or videos."
        )
    sizes = np.stack(columns["size"]).astype(np.int32)
    scales = np.array(columns["scale"], np.float32)
    lengths = [len(b) for b in columns["boxes"]]
    per_box = np.repeat(np.arange(total), lengths)
    normalised = np.concatenate([b.reshape(-1, 4) for b in columns["boxes"]])
    to_pixels = np.tile(sizes, 2)[per_box] * scales[per_box, None]
    crowds = [
        c.astype(bool) if len(c) else np.zeros(n, bool)
        for c, n in zip(columns["crowds"], lengths, strict=True)
    ]
    return ExampleSet(
        images=images,
        boxes=(normalised * to_pixels).astype(np.float32),
        classes=np.concatenate(columns["classes"]).astype(np.int32),
        crowds=np.concatenate(crowds),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        source_ids=np.array(columns["id"], np.int64),
        scales=scales,
        sizes=sizes,
    )
