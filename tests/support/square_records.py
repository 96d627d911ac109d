"""Small records of bright squares and discs on grey noise, which a network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from support.record_folder import Labelled, write_records

from kfdet.records.tfrecord import Example

LABELS = ["disc", "square"]
WIDTH, HEIGHT = 128, 96
COLOURS = [(230, 60, 40), (50, 90, 230)]


def write_square_records(folder: Path, train: int, val: int, seed: int = 0) -> None:
    """Write `train` and `val` examples with one or two objects each; every ninth has none."""
    rng = np.random.default_rng(seed)
    pictures = []
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            number = len(pictures)
            example = _example(number, rng, empty=i % 9 == 8)
            pictures.append(Labelled(example, split, "squares", number))
    write_records(folder, pictures, LABELS)


def _example(source_id: int, rng: np.random.Generator, *, empty: bool) -> Example:
    image = rng.integers(90, 150, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    boxes, classes = [], []
    for left in () if empty else (4, 68)[: int(rng.integers(1, 3))]:
        size = int(rng.integers(22, 44))
        x, y = left + int(rng.integers(0, 56 - size)), int(rng.integers(0, HEIGHT - size))
        class_id = int(rng.integers(1, 3))
        if class_id == 1:
            centre = (x + size // 2, y + size // 2)
            cv2.circle(image, centre, size // 2, COLOURS[0], -1)
        else:
            image[y : y + size, x : x + size] = COLOURS[1]
        boxes.append([x / WIDTH, y / HEIGHT, (x + size) / WIDTH, (y + size) / HEIGHT])
        classes.append(class_id)
    return Example(
        source_id=source_id,
        filename=f"{source_id}.jpg",
        jpeg=simplejpeg.encode_jpeg(image, quality=95),
        width=WIDTH,
        height=HEIGHT,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=[LABELS[c - 1] for c in classes],
        class_ids=np.array(classes, np.int64),
        occluded=np.zeros(len(boxes), bool),
        truncated=np.zeros(len(boxes), bool),
    )
