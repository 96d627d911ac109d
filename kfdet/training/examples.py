"""The examples of a split at the training size: decoded on disk, or each time they are seen."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import simplejpeg

from kfdet.dataset.threads import in_threads
from kfdet.events import Progress
from kfdet.files import count_cores, explain_os_error
from kfdet.records.reading import Records

MOST_VALIDATED = 2000
"""Pictures of a validation. They choose among weights of the same training, for which more would
not do more, and a validation must not take longer than the steps before it."""


class StreamedImages:
    """Pictures that are read from their shards and decoded each time they are asked for.

    Any one can be read at any time, so that the order is as random, and after a kill the same, as
    that of pictures in memory.

    Args:
        records: Where they are.
        source_ids: (N,) which ones.
        height: Input height in pixels.
        width: Input width in pixels.
    """

    def __init__(
        self, records: Records, source_ids: npt.NDArray[np.int64], height: int, width: int
    ) -> None:
        self.shape = (len(source_ids), height, width, 3)
        self._records, self._ids = records, source_ids.tolist()
        self._requested: dict[int, Future[bytes]] = {}
        self._lock = threading.Lock()

    def request(self, indices: Iterable[int]) -> None:
        """Read pictures that will be asked for soon."""
        for index in indices:
            with self._lock:
                if index not in self._requested:
                    self._requested[index] = self._records.request(self._ids[index])

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            requested = self._requested.pop(index, None)
        jpeg = requested.result() if requested else self._records.picture(self._ids[index])
        return decode(jpeg, *self.shape[1:3])


def decode(jpeg: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture that fills the top left of `height` x `width`, RGB; the rest is black.

    Within a few of 255 levels the same as `kfdet.detection.letterbox`, which the detector itself
    carries, in a third of its time.
    """
    picture = simplejpeg.decode_jpeg(jpeg)
    size = np.array(picture.shape[:2], np.float32)
    scale = (np.array([height, width], np.float32) / size).min()
    high, wide = np.clip(np.round(size * scale), 1, [height, width]).astype(int).tolist()
    image = np.zeros((height, width, 3), np.uint8)
    image[:high, :wide] = _resize(picture, high, wide)
    return image


def _resize(picture: npt.NDArray[np.uint8], height: int, width: int) -> Any:
    if height >= picture.shape[0] and width >= picture.shape[1]:
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    # An average over the box that becomes a pixel, twice, is the triangle of a linear filter that
    # does not alias; OpenCV has it once.
    rows, columns = _box(picture.shape[0] / height), _box(picture.shape[1] / width)
    smooth = cv2.sepFilter2D(picture, -1, columns, rows, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_AREA)


def _box(length: float) -> Any:
    """An average over `length` pixels, at least 1, as an odd number of weights."""
    beside = math.ceil((length - 1) / 2)
    weights = np.ones(2 * beside + 1, np.float32)
    if beside:
        weights[[0, -1]] = (length - (2 * beside - 1)) / 2
    return weights / weights.sum(dtype=np.float32)


@dataclass(frozen=True)
class ExampleSet:
    """One split.

    Args:
        images: uint8 (N, height, width, 3), RGB, letterboxed to the training size; decoded, on
            disk, or read and decoded each time.
        boxes: float32 (B, 4), ymin, xmin, ymax, xmax in input pixels, image after image.
        classes: int32 (B,), class ids from 1.
        crowds: bool (B,), true for boxes that are ignored.
        offsets: int64 (N + 1,), where each image's boxes begin.
        source_ids: int64 (N,).
        scales: float32 (N,), input pixels per source pixel.
        sizes: int32 (N, 2), source height and width.
    """

    images: npt.NDArray[np.uint8] | StreamedImages
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    crowds: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    source_ids: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.source_ids)

    def request(self, indices: Iterable[int]) -> None:
        """Read pictures ahead that are not decoded yet."""
        if isinstance(self.images, StreamedImages):
            self.images.request(indices)

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


def read_examples(
    records: Records, split: str, height: int, width: int, cache: Path, budget: int
) -> ExampleSet:
    """One split of `records` at `height` x `width`.

    Of the validation and test sides only the pictures that are truth, where there are any, and at
    most MOST_VALIDATED of them, evenly spread.

    Args:
        records: The records.
        split: "train", "val" or "test".
        height: Input height in pixels.
        width: Input width in pixels.
        cache: File for the decoded images; overwritten.
        budget: Most bytes of that file; where they do not suffice, images are decoded as they are
            seen.

    Raises:
        InputError: The split is missing or empty, or the disk is full.
    """
    examples = records.examples(split)
    if split != "train":
        if pc.any(examples["measured"]).as_py():
            examples = examples.filter(examples["measured"])
        if len(examples) > MOST_VALIDATED:
            places = (np.arange(MOST_VALIDATED) + 0.5) * len(examples) / MOST_VALIDATED
            examples = examples.take(places.astype(np.int64))
    ids = examples["source_id"].to_numpy()
    sizes = np.stack([examples["height"].to_numpy(), examples["width"].to_numpy()], axis=1)
    # in 32 bits, as `kfdet.detection.letterbox` does it
    scales = (np.array([height, width], np.float32) / sizes.astype(np.float32)).min(axis=1)
    objects = records.objects(split)
    owners = np.searchsorted(ids, objects["source_id"].to_numpy())
    own = ids[np.minimum(owners, len(ids) - 1)] == objects["source_id"].to_numpy()
    objects, owners = objects.filter(own), owners[own]
    # ymin, xmin, ymax, xmax
    corners, windows = (
        np.stack([table[side].to_numpy() for side in ("ymin", "xmin", "ymax", "xmax")], axis=1)
        for table in (objects, examples)
    )
    origin, extent = np.tile(windows[:, :2], 2), np.tile(windows[:, 2:] - windows[:, :2], 2)
    to_pixels = np.tile(sizes * scales[:, None], 2) / extent
    images: npt.NDArray[np.uint8] | StreamedImages
    if len(ids) * height * width * 3 <= budget:
        images = _decode(records, split, ids, height, width, cache)
    else:
        images = StreamedImages(records, ids, height, width)
    return ExampleSet(
        images=images,
        boxes=((corners - origin[owners]) * to_pixels[owners]).astype(np.float32),
        classes=objects["class_id"].to_numpy().astype(np.int32),
        crowds=objects["crowd"].to_numpy(),
        offsets=np.searchsorted(owners, np.arange(len(ids) + 1)).astype(np.int64),
        source_ids=ids,
        scales=scales,
        sizes=sizes.astype(np.int32),
    )


def _decode(
    records: Records,
    split: str,
    ids: npt.NDArray[np.int64],
    height: int,
    width: int,
    cache: Path,
) -> npt.NDArray[np.uint8]:
    """The decoded images, in a file."""
    images = _image_file(cache, (len(ids), height, width, 3))
    progress = Progress(f"decoding {split} examples", len(ids), "images")

    def fill(row: int, jpeg: bytes) -> None:
        images[row] = decode(jpeg, height, width)
        progress.advance()

    pictures = enumerate(jpeg for _, jpeg in records.pictures(ids.tolist()))
    for _ in in_threads(lambda picture: fill(*picture), pictures, count_cores()):
        pass
    return images
