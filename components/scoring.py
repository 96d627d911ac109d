"""Scoring: the files of one group through the model."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import TRAINING_IMAGE


@component(TRAINING_IMAGE)
def scoring(plan: dsl.Input[dsl.Artifact], group: int, outcome: dsl.Output[dsl.Artifact]) -> None:
    """Score those files of one group whose results are not there yet.

    Args:
        plan: The plan.
        group: Index of the group.
        outcome: How many files were scored, how long it took, and what could not be scored.
    """
    from kfdet.stages.scoring import score_group

    score_group(Path(plan.path), group, Path(outcome.path))
