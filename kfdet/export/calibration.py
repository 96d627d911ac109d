"""The training pictures that show an int8 model which values occur."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import tensorflow as tf

from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.records.reading import read_examples

_PICTURES = 64


def calibration_pictures(records: Path, height: int, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    """At most 64 training pictures, evenly spread, fitted into the network's input.

    Args:
        records: Folder of the TFRecord build.
        height: Input height in pixels.
        width: Input width in pixels.

    Yields:
        uint8 (height, width, 3), RGB.
    """
    index = pq.read_table(
        records / "examples.parquet", columns=["source_id"], filters=[("split", "=", "train")]
    )
    ids = index["source_id"].to_pylist()
    chosen = set(ids[:: math.ceil(len(ids) / _PICTURES)])
    for example in read_examples(records, "train"):
        if example.source_id in chosen:
            image, _, _ = decode_and_letterbox(tf.constant(example.jpeg), height, width)
            yield image.numpy()
