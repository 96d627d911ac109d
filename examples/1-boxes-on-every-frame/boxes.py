"""Count the boxes that a person drew, and those that interpolation makes of them on every frame.

python examples/1-boxes-on-every-frame/boxes.py demo/dataset
"""

import sys

import kfdet


def main(folder: str) -> None:
    """Print both counts for every label."""
    boxes = kfdet.interpolate(kfdet.load_dataset(folder))
    counts = boxes.group_by("label").aggregate([("keyframe", "sum"), ("keyframe", "count")])
    for row in counts.sort_by("label").to_pylist():
        drawn, total = row["keyframe_sum"], row["keyframe_count"]
        print(f"{row['label']}: {drawn} drawn, {total} on every frame")


if __name__ == "__main__":
    main(*sys.argv[1:])
