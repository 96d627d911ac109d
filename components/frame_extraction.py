"""Frame extraction: the frames that become examples, as TFRecords of the OD API's schema."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import FrameSettings, SamplingSettings


@component(IMAGE)
def frame_extraction(
    dataset: str,
    plan: dsl.Input[dsl.Dataset],
    group: int,
    boxes: dsl.Input[dsl.Dataset],
    negatives: dsl.Input[dsl.Dataset],
    shards: dsl.Output[dsl.Dataset],
    index: dsl.Output[dsl.Dataset],
    sampling: SamplingSettings,
    storing: FrameSettings,
) -> None:
    """Extract the planned frames of one group into TFRecord shards.

    Args:
        dataset: Folder or bucket path with the videos and images.
        plan: The plan that planning wrote.
        group: Index of the group.
        boxes: The boxes of the group.
        negatives: Its background frames and crops.
        shards: TFRecord shards of all sides of the split.
        index: Tables of the examples, their boxes and their places in the shards.
        sampling: Which frames are used.
        storing: How they are stored.
    """
    from kfdet.stages.frame_extraction import extract_group

    extract_group(
        dataset,
        Path(plan.path),
        group,
        Path(boxes.path),
        Path(negatives.path),
        Path(shards.path),
        Path(index.path),
        sampling,
        storing,
        address=shards.uri,
    )
