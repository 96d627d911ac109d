"""The stages between plan and training, one after the other in this process."""

from __future__ import annotations

from pathlib import Path

from kfdet.parameters import BoxSettings, FrameSettings, SamplingSettings
from kfdet.planning.plan import read_plan
from kfdet.stages.frame_extraction import extract_group
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.negative_mining import mine_negatives
from kfdet.stages.tfrecord_build import build_tfrecords


def make_records(
    dataset: str,
    plan: Path,
    folder: Path,
    sampling: SamplingSettings = SamplingSettings(),  # noqa: B008
    seed: int = 0,
) -> Path:
    """The records of a plan, made in `folder`."""
    indexes = []
    for group in range(len(read_plan(plan).groups)):
        boxes, negatives, shards, index = (
            folder / f"{name}-{group}" for name in ("boxes", "negatives", "shards", "index")
        )
        interpolate_group(dataset, plan, group, boxes, BoxSettings())
        mine_negatives(plan, group, boxes, negatives, sampling, seed=seed)
        extract_group(
            *(dataset, plan, group, boxes, negatives, shards, index), sampling, FrameSettings()
        )
        indexes.append(index)
    build_tfrecords(dataset, plan, indexes, folder / "records", folder / "all_boxes")
    return folder / "records"
