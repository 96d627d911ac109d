"""TFRecord build: one set of records out of the shards of all groups."""

import json
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def tfrecord_build(
    dataset: str,
    plan: dsl.Input[dsl.Dataset],
    indexes: dsl.Input[list[dsl.Dataset]],
    records: dsl.Output[dsl.Dataset],
    all_boxes: dsl.Output[dsl.Dataset],
) -> None:
    """Write the label map, the tables and the statistics of the shards, which stay where they are.

    Args:
        dataset: Folder or bucket path with the videos and images.
        plan: The plan that planning wrote.
        indexes: The tables of every group.
        records: Label map, tables of examples, boxes and places, statistics, sample pictures.
        all_boxes: The boxes of all groups as one parquet file.
    """
    from kfdet.stages.tfrecord_build import build_tfrecords

    build_tfrecords(
        dataset,
        Path(plan.path),
        [Path(artifact.path) for artifact in indexes],
        Path(records.path),
        Path(all_boxes.path),
    )
    described = json.loads(Path(records.path, "dataset.json").read_text())
    records.metadata["labels"] = described["labels"]
    for side, counts in described["counts"].items():
        records.metadata[f"{side}_examples"] = counts["examples"]
        records.metadata[f"{side}_boxes"] = counts["boxes"]
