"""TFRecord build: training and validation examples in the TF Object Detection API's schema."""

import json
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def tfrecord_build(
    dataset: str,
    plan: dsl.Input[dsl.Dataset],
    boxes: dsl.Input[list[dsl.Dataset]],
    frames: dsl.Input[list[dsl.Dataset]],
    negatives: dsl.Input[dsl.Dataset],
    records: dsl.Output[dsl.Dataset],
    all_boxes: dsl.Output[dsl.Dataset],
    seed: int,
) -> None:
    """Write sharded TFRecords of both sides of the split, the label map and the statistics.

    Args:
        dataset: Folder or bucket path with the videos and images.
        plan: The plan that planning wrote.
        boxes: The boxes of every group.
        frames: The frames of every group.
        negatives: The background frames and crops.
        records: TFRecord shards, label map, table of examples, statistics, sample pictures.
        all_boxes: The boxes of all groups as one parquet file.
        seed: Seed of the order of the training examples.
    """
    from kfdet.stages.tfrecord_build import build_tfrecords

    build_tfrecords(
        dataset,
        Path(plan.path),
        [Path(artifact.path) for artifact in boxes],
        [Path(artifact.path) for artifact in frames],
        Path(negatives.path),
        Path(records.path),
        Path(all_boxes.path),
        seed=seed,
    )
    described = json.loads(Path(records.path, "dataset.json").read_text())
    records.metadata["labels"] = described["labels"]
    for side, counts in described["counts"].items():
        records.metadata[f"{side}_examples"] = counts["examples"]
        records.metadata[f"{side}_boxes"] = counts["boxes"]
