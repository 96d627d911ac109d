"""Interpolation: boxes on every frame from the boxes on key frames."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def interpolation(
    plan: dsl.Input[dsl.Dataset],
    group: int,
    boxes: dsl.Output[dsl.Dataset],
    method: str,
) -> None:
    """Turn the key boxes of one group into a box on every frame.

    Args:
        plan: The plan that planning wrote.
        group: Index of the group.
        boxes: One parquet file, a row a box.
        method: How boxes move between key frames: "linear" as in CVAT, or "cubic".
    """
    from kfdet.stages.interpolation import interpolate_group

    interpolate_group(plan.path, group, boxes.path, method=method)  # type: ignore[arg-type]
