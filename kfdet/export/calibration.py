"""The training pictures that show an int8 model which values occur."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.records.reading import Records

_PICTURES = 64


def calibration_pictures(
    records: Records, height: int, width: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """At most 64 training pictures, evenly spread, fitted into the network's input.

    Args:
        records: The records.
        height: Input height in pixels.
        width: Input width in pixels.

    Yields:
        uint8 (height, width, 3), RGB.
    """
    ids = records.examples("train", ["source_id"])["source_id"].to_pylist()
    for _, jpeg in records.pictures(ids[:: math.ceil(len(ids) / _PICTURES)]):
        image, _, _ = decode_and_letterbox(tf.constant(jpeg), height, width)
        yield image.numpy()
