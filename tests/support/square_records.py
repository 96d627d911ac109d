"""Small TFRecords of bright squares and discs on grey noise, which a network learns in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from kfdet.records.tfrecord import Example, serialize, write_label_map, write_shards

LABELS = ["disc", "square"]
WIDTH, HEIGHT = 128, 96
COLOURS = [(230, 60, 40), (50, 90, 230)]


def write_square_records(folder: Path, train: int, val: int, seed: int = 0) -> None:
    """Write `train` and `val` examples with one or two objects each; every ninth has none."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for split, count in (("train", train), ("val", val)):
        examples = [_example(len(rows) + i, rng, empty=i % 9 == 8) for i in range(count)]
        records = [serialize(example) for example in examples]
        write_shards(folder, split, records, count, sum(map(len, records)))
        rows += [
            {
                "source_id": e.source_id,
                "split": split,
                "video": "squares",
                "frame": e.source_id,
                "kind": "frame" if len(e.boxes) else "background",
                "measured": split == "val",
                "width": WIDTH,
                "height": HEIGHT,
                "xmin": 0.0,
                "ymin": 0.0,
                "xmax": float(WIDTH),
                "ymax": float(HEIGHT),
            }
            for e in examples
        ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "examples.parquet")
    (folder / "dataset.json").write_text(json.dumps({"labels": LABELS}))
    write_label_map(folder / "label_map.pbtxt", LABELS)


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
