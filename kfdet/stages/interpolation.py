"""Stage: boxes on every frame from the key boxes of one group."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.boxes.clipping import clip_boxes
from kfdet.boxes.interpolation import interpolate
from kfdet.errors import InputError
from kfdet.files import atomic_file
from kfdet.planning.plan import KEYS_FILE, read_plan


def interpolate_group(
    plan: str, group: int, boxes: str, *, method: Literal["linear", "cubic"] = "linear"
) -> None:
    """Put boxes on every annotated frame of one group's videos and images.

    Args:
        plan: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: Parquet file to write: BOX_SCHEMA, sorted by video, frame and track.
        method: How boxes move between key frames: "linear" as in CVAT, or "cubic".

    Raises:
        InputError: The group or the method does not exist, or a track is bad.
    """
    sources = read_plan(Path(plan)).group(group)
    if method not in ("linear", "cubic"):
        raise InputError(f"there is no interpolation {method!r}.", hint="Use linear or cubic.")
    names = [source.name for source in sources]
    keys = pq.read_table(Path(plan) / KEYS_FILE)
    own = keys.filter(pc.is_in(keys["video"], value_set=pa.array(names, pa.string())))
    tasks = {source.name: source.task for source in sources}
    sizes = {source.name: source.size for source in sources}
    table = clip_boxes(interpolate(own, tasks, method), sizes)
    with atomic_file(Path(boxes)) as path:
        pq.write_table(table, path)
