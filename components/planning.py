"""Planning: check the dataset, split it, and cut it into groups."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def planning(
    dataset: str,
    dataset_version: str,
    plan: dsl.Output[dsl.Dataset],
    frame_rate: float,
    every: int,
    val_share: float,
    guard_seconds: float,
    seed: int,
) -> list[dict[str, int]]:
    """Check the dataset, split it without leaks, and cut it into groups of sources.

    Args:
        dataset: Folder or bucket path with videos or images and their annotations.
        dataset_version: Changes when the dataset's content changes; part of the cache key.
        plan: The plan: sources, frame ranges, labels and key boxes.
        frame_rate: At most this many frames of a video are used a second.
        every: Use every Nth annotated frame instead of a rate; 0 leaves it to the rate.
        val_share: Share of the dataset that only evaluation sees.
        guard_seconds: Gap between training and evaluation blocks of one video, in seconds.
        seed: Seed of the split.

    Returns:
        The groups, each with its index, for the stages that run once a group.
    """
    from kfdet.stages.planning import plan_dataset

    groups = plan_dataset(
        dataset,
        plan.path,
        frame_rate=frame_rate,
        every=every,
        val_share=val_share,
        guard_seconds=guard_seconds,
        seed=seed,
    )
    plan.metadata.update(dataset=dataset, dataset_version=dataset_version, groups=len(groups))
    return groups
