"""Stage: boxes on every frame from the key boxes of one group."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.boxes.clipping import clip_boxes
from kfdet.boxes.interpolation import interpolate
from kfdet.files import atomic_file
from kfdet.parameters import BoxSettings
from kfdet.planning.plan import KEYS_FILE, read_plan


def interpolate_group(plan_dir: Path, group: int, boxes: Path, settings: BoxSettings) -> None:
    """Put boxes on every annotated frame of one group's videos and images.

    Args:
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: Parquet file to write: BOX_SCHEMA, sorted by video, frame and track.
        settings: How boxes move between key frames.

    Raises:
        InputError: There is no such group, the settings are out of their limits, or a track is bad.
    """
    settings.check()
    sources = read_plan(plan_dir).group(group)
    names = [source.name for source in sources]
    keys = pq.read_table(plan_dir / KEYS_FILE)
    own = keys.filter(pc.is_in(keys["video"], value_set=pa.array(names, pa.string())))
    tasks = {source.name: source.task for source in sources}
    sizes = {source.name: source.size for source in sources}
    table = clip_boxes(interpolate(own, tasks, settings.interpolation), sizes)
    with atomic_file(boxes) as path:
        pq.write_table(table, path)
