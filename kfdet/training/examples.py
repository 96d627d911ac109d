"""Decoded examples at the training size: read the TFRecords once, then never decode again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
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
from kfdet.records.reading import read_examples
from kfdet.records.tfrecord import Example
from kfdet.training.feeding import parallel_map


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
        scales: float32 (N,), input pixels per source pixel.
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
        """The slice of the boxes of image `index`."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


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

    Of the validation and test sides only the pictures that are truth, where there are any.

    Args:
        records: Folder that the TFRecord build wrote.
        split: "train", "val" or "test".
        height: Input height in pixels.
        width: Input width in pixels.
        cache: File for the decoded images; overwritten.

    Raises:
        InputError: The split is missing or empty, or the disk is full.
    """
    columns = ["source_id", "split", "measured"]
    index = pq.read_table(records / "examples.parquet", columns=columns)
    index = index.filter(pc.equal(index["split"], split))
    truth = index.filter(index["measured"])
    wanted = set((truth if len(truth) else index)["source_id"].to_pylist())
    total = len(wanted)
    if not total:
        raise InputError(
            f"holds no {split} example.", file=records, hint="Label more frames or videos."
        )
    examples: list[Example] = []

    def encoded() -> Iterator[bytes]:
        for example in read_examples(records, split):
            if example.source_id not in wanted:
                continue
            examples.append(dataclasses.replace(example, jpeg=b""))
            yield example.jpeg

    jpegs = tf.data.Dataset.from_generator(encoded, output_signature=tf.TensorSpec([], tf.string))
    decoded = parallel_map(jpegs, lambda data: decode_and_letterbox(data, height, width), ahead=16)
    images = _image_file(cache, (total, height, width, 3))
    scales, sizes = np.empty(total, np.float32), np.empty((total, 2), np.int32)
    progress = Progress(f"decoding {split} examples", total, "images")
    for index, (image, scale, size) in enumerate(decoded.as_numpy_iterator()):
        images[index], scales[index], sizes[index] = image, scale, size
        progress.advance()

    lengths = [len(example.boxes) for example in examples]
    per_box = np.repeat(np.arange(total), lengths)
    to_pixels = np.tile(sizes, 2)[per_box] * scales[per_box, None]
    # ymin, xmin, ymax, xmax
    shares = np.concatenate([example.boxes for example in examples])[:, [1, 0, 3, 2]]
    return ExampleSet(
        images=images,
        boxes=(shares * to_pixels).astype(np.float32),
        classes=np.concatenate([example.class_ids for example in examples]).astype(np.int32),
        crowds=np.concatenate([example.crowd for example in examples]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        source_ids=np.array([example.source_id for example in examples], np.int64),
        scales=scales,
        sizes=sizes,
    )
