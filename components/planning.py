"""Planning: check the dataset, split it, and cut it into groups."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import DatasetSettings, NegativeSettings, SamplingSettings, SplitSettings


@component(IMAGE)
def planning(
    dataset: str,
    fingerprint: str,
    plan: dsl.Output[dsl.Dataset],
    sampling: SamplingSettings,
    split: SplitSettings,
    choice: DatasetSettings,
    negatives: NegativeSettings,
    seed: int,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", [("Output", list), ("disk", str)]
):
    """Check the dataset, split it without leaks, and cut it into groups of sources.

    Args:
        dataset: Folder or bucket path with videos or images and their annotations, or several,
            separated by commas.
        fingerprint: Changes when the dataset's content changes; part of the cache key.
        plan: The plan: sources, frame ranges, labels and key boxes.
        sampling: Which frames are used.
        split: What evaluates instead of training.
        choice: What of the dataset is used, as what, and on which side.
        negatives: How much background trains.
        seed: Seed of the split.

    Returns:
        The groups, each with its index, for the stages that run once per group; and the bytes of
        disk that each of these takes at most.
    """
    from kfdet.planning.plan import read_key_frames, read_plan
    from kfdet.planning.room import disk_of_a_group
    from kfdet.stages.planning import plan_dataset

    groups = plan_dataset(dataset, Path(plan.path), sampling, split, choice, negatives, seed=seed)
    plan.metadata.update(dataset=dataset, fingerprint=fingerprint, groups=len(groups))
    made = read_plan(Path(plan.path))
    videos = [source for source in made.sources if source.kind == "video"]
    keys = read_key_frames(Path(plan.path), videos)
    return groups, str(disk_of_a_group(made, sampling, keys))
