"""Frame extraction: the frames that later stages use, as shards of JPEG."""

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
    frames: dsl.Output[dsl.Dataset],
    sampling: SamplingSettings,
    storing: FrameSettings,
) -> None:
    """Extract the planned frames of one group into shards with an index.

    Args:
        dataset: Folder or bucket path with the videos and images.
        plan: The plan that planning wrote.
        group: Index of the group.
        frames: A few shards of JPEG and one index, whatever the number of frames.
        sampling: Which frames are used.
        storing: How they are stored.
    """
    from kfdet.stages.frame_extraction import extract_group

    extract_group(dataset, Path(plan.path), group, Path(frames.path), sampling, storing)
