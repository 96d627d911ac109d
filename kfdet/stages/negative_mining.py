"""Stage: background frames and crops for training, out of one group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from kfdet.boxes.tables import BOX_SCHEMA, SIDES, corners, read_table, rows_by_video
from kfdet.files import atomic_file
from kfdet.parameters import SamplingSettings
from kfdet.planning.plan import read_key_frames, read_plan
from kfdet.planning.sampling import select_frames
from kfdet.records.negatives import Negative, mine, negative_table


def mine_negatives(
    plan_dir: Path,
    group: int,
    boxes: Path,
    negatives: Path,
    sampling: SamplingSettings,
    *,
    seed: int,
) -> None:
    """Choose the background frames and crops that the plan wants of one group.

    Args:
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: The box file of the group (BOX_SCHEMA).
        negatives: Parquet file to write (`kfdet.records.negatives.NEGATIVE_SCHEMA`), sorted by
            video and frame.
        sampling: Which frames are used.
        seed: Seed of the choice.

    Raises:
        InputError: There is no such group, or the settings are out of their limits.
    """
    sampling.check()
    sources = read_plan(plan_dir).group(group)
    keys = read_key_frames(plan_dir, sources)
    columns = ["video", "frame", *SIDES]
    table = read_table(boxes, BOX_SCHEMA, columns).sort_by(
        [("video", "ascending"), ("frame", "ascending")]
    )
    rows = rows_by_video(table)
    frames = table["frame"].to_numpy()
    sides = corners(table)
    found: list[Negative] = []
    for source in sources:
        own = rows.get(source.name, slice(0, 0))
        key_frames = keys.get(source.name, np.zeros(0, np.int64))
        used = select_frames(source, key_frames, sampling.frame_rate, sampling.every)
        found += mine(source, key_frames, used, frames[own], sides[own], seed)
    with atomic_file(negatives) as path:
        pq.write_table(negative_table(found), path)
