"""Scoring plan stage: look what is to be scored, check the model, and cut the files into groups."""

from __future__ import annotations

from pathlib import Path

from kfdet.cluster.parameters import ScoringPods
from kfdet.errors import InputError
from kfdet.parameters import ScoringSettings
from kfdet.scoring.plan import check_places, model_digest
from kfdet.scoring.run import load, make_plan
from kfdet.storage.copies import local_model


def plan_scoring(
    source: str,
    target: str,
    model: str,
    plan: Path,
    settings: ScoringSettings,
    pods: ScoringPods,
) -> list[dict[str, int]]:
    """Check everything that a bad command can be, and plan the scoring.

    Args:
        source: A folder, or the URI of one in a bucket.
        target: The folder of the results, likewise.
        model: As for `kfdet.storage.copies.local_model`.
        plan: JSON file to write.
        settings: How the files are scored.
        pods: How they are shared out.

    Returns:
        The groups, each with its index, for the stage that runs once per group.

    Raises:
        InputError: A parameter is out of its limits, there is no such model, or nothing to score.
    """
    settings.check()
    pods.check()
    if not (source and target and model):
        raise InputError("source, target and model are needed.")
    check_places(source, target)
    with local_model(model) as path, load(path, settings) as detector:
        digest = model_digest(path)
        made = make_plan(source, target, model, detector, digest, settings, pods.groups)
    made.write(plan)
    return [{"index": index} for index in sorted({item.group for item in made.items})]
