"""Negative mining: background frames and crops that a person has looked at."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import SamplingSettings


@component(IMAGE)
def negative_mining(
    plan: dsl.Input[dsl.Dataset],
    group: int,
    boxes: dsl.Input[dsl.Dataset],
    negatives: dsl.Output[dsl.Dataset],
    sampling: SamplingSettings,
    seed: int,
) -> None:
    """Choose background frames and crops of one group for training, away from every box.

    Args:
        plan: The plan that planning wrote, with how many are wanted.
        group: Index of the group.
        boxes: The boxes of the group.
        negatives: One parquet file with one row per background frame or crop.
        sampling: Which frames are used.
        seed: Seed of the choice.
    """
    from kfdet.stages.negative_mining import mine_negatives

    mine_negatives(
        Path(plan.path), group, Path(boxes.path), Path(negatives.path), sampling, seed=seed
    )
