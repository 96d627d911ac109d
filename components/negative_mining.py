"""Negative mining: background frames and crops that a person has looked at."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def negative_mining(
    plan: dsl.Input[dsl.Dataset],
    boxes: dsl.Input[list[dsl.Dataset]],
    frames: dsl.Input[list[dsl.Dataset]],
    negatives: dsl.Output[dsl.Dataset],
    share: float,
    seed: int,
) -> None:
    """Choose background frames and crops for training, away from every box.

    Args:
        plan: The plan that planning wrote.
        boxes: The boxes of every group.
        frames: The frames of every group.
        negatives: One parquet file, a row a background frame or crop.
        share: Share of the training examples that are background without any object.
        seed: Seed of the choice.
    """
    from kfdet.stages.negative_mining import mine_negatives

    mine_negatives(
        plan.path,
        [artifact.path for artifact in boxes],
        [artifact.path for artifact in frames],
        negatives.path,
        share=share,
        seed=seed,
    )
