"""Frame extraction: the frames that later stages use, as shards of JPEG."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def frame_extraction(
    dataset: str,
    plan: dsl.Input[dsl.Dataset],
    group: int,
    frames: dsl.Output[dsl.Dataset],
    frame_rate: float,
    every: int,
    longest_side: int,
    jpeg_quality: int,
) -> None:
    """Extract the planned frames of one group into shards with an index.

    Args:
        dataset: Folder or bucket path with the videos and images.
        plan: The plan that planning wrote.
        group: Index of the group.
        frames: A few shards of JPEG and one index, whatever the number of frames.
        frame_rate: At most this many frames of a video are used a second.
        every: Use every Nth annotated frame instead of a rate; 0 leaves it to the rate.
        longest_side: Longest side of a stored frame in pixels; 0 keeps the source's size.
        jpeg_quality: Quality of the stored frames, 1 to 100.
    """
    from kfdet.stages.frame_extraction import extract_group

    extract_group(
        dataset,
        plan.path,
        group,
        frames.path,
        frame_rate=frame_rate,
        every=every,
        longest_side=longest_side,
        jpeg_quality=jpeg_quality,
    )
