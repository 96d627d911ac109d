"""Count the boxes that a person drew, and those that interpolation makes of them on every frame.

python examples/1-boxes-on-every-frame/boxes.py demo/dataset
"""

import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from kfdet.dataset.conversion import convert


def main(dataset: str) -> None:
    """Print both counts for every label."""
    with tempfile.TemporaryDirectory() as scratch:
        done = convert(Path(dataset), Path(scratch, "boxes.parquet"), "parquet")
        boxes = pq.read_table(done.target)
    counts = boxes.group_by("label").aggregate([("keyframe", "sum"), ("keyframe", "count")])
    for row in counts.sort_by("label").to_pylist():
        drawn, total = row["keyframe_sum"], row["keyframe_count"]
        print(f"{row['label']}: {drawn} drawn, {total} on every frame")


if __name__ == "__main__":
    main(*sys.argv[1:])
