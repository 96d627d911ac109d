"""Reads the TFRecords of a records folder: the one reader of training, evaluation and deployment.

Without TensorFlow; decoding the pictures is the reader's own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kfdet.errors import InputError
from kfdet.records.tfrecord import Example, parse, read_records


def record_files(records: Path, split: str) -> list[Path]:
    """The shards of one split, in order.

    Args:
        records: Folder that the TFRecord build wrote.
        split: "train", "val" or "test".

    Raises:
        InputError: There are none.
    """
    files = sorted(records.glob(f"{split}-*.tfrecord"))
    if not files:
        raise InputError(
            f"there is no {split}-*.tfrecord.", file=records, hint="Build the TFRecords first."
        )
    return files


def read_examples(records: Path, split: str) -> Iterator[Example]:
    """The examples of one split, in the order of the shards.

    Raises:
        InputError: There are none, or a shard is cut off or damaged.
    """
    for path in record_files(records, split):
        for record in read_records(path):
            yield parse(record)
