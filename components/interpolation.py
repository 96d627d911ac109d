"""Interpolation: boxes on every frame from the boxes on key frames."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import BoxSettings


@component(IMAGE)
def interpolation(
    dataset: str,
    plan: dsl.Input[dsl.Dataset],
    group: int,
    boxes: dsl.Output[dsl.Dataset],
    settings: BoxSettings,
) -> None:
    """Turn the key boxes of one group into a box on every frame.

    Args:
        dataset: Folder or bucket path with the videos.
        plan: The plan that planning wrote.
        group: Index of the group.
        boxes: One parquet file with one row per box.
        settings: How boxes move.
    """
    from kfdet.stages.interpolation import interpolate_group

    interpolate_group(dataset, Path(plan.path), group, Path(boxes.path), settings)
