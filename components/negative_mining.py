"""Negative mining: background frames and crops that a person has looked at."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import NegativeSettings


@component(IMAGE)
def negative_mining(
    plan: dsl.Input[dsl.Dataset],
    boxes: dsl.Input[list[dsl.Dataset]],
    frames: dsl.Input[list[dsl.Dataset]],
    negatives: dsl.Output[dsl.Dataset],
    settings: NegativeSettings,
    seed: int,
) -> None:
    """Choose background frames and crops for training, away from every box.

    Args:
        plan: The plan that planning wrote.
        boxes: The boxes of every group.
        frames: The frames of every group.
        negatives: One parquet file with one row per background frame or crop.
        settings: How many there are.
        seed: Seed of the choice.
    """
    from kfdet.stages.negative_mining import mine_negatives

    mine_negatives(
        Path(plan.path),
        [Path(artifact.path) for artifact in boxes],
        [Path(artifact.path) for artifact in frames],
        Path(negatives.path),
        settings,
        seed=seed,
    )
