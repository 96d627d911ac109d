"""Scoring plan: what is scored, in groups of files."""

from pathlib import Path

from kfp import dsl

from kfdet.cluster.parameters import ScoringPods
from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import ScoringSettings


@component(IMAGE)
def scoring_plan(
    source: str,
    target: str,
    model: str,
    plan: dsl.Output[dsl.Artifact],
    settings: ScoringSettings,
    pods: ScoringPods,
) -> list[dict[str, int]]:
    """Check the parameters and the model, and cut the files into groups; never cached.

    Args:
        source: Folder or bucket path with pictures and videos.
        target: Folder or bucket path of the results.
        model: Bucket path of a model: a folder, a .tflite file or a model.zip.
        plan: The plan: every file, and the name of its result.
        settings: How the files are scored.
        pods: How they are shared out.

    Returns:
        The groups, each with its index, for the stage that runs once per group.
    """
    from kfdet.stages.scoring_plan import plan_scoring

    return plan_scoring(source, target, model, Path(plan.path), settings, pods)
