"""Stage: boxes on every frame from the key boxes of one group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.boxes.clipping import clip_boxes
from kfdet.boxes.interpolation import Task
from kfdet.boxes.tables import BOX_ORDER, KEY_SCHEMA, UNTRACKED, read_table
from kfdet.files import atomic_file
from kfdet.motion.interpolation import interpolate_videos
from kfdet.parameters import BoxSettings, Interpolation
from kfdet.planning.plan import KEYS_FILE, Source, read_plan
from kfdet.storage.copies import local_dataset


def interpolate_group(
    dataset: str, plan_dir: Path, group: int, boxes: Path, settings: BoxSettings
) -> None:
    """Put boxes on every annotated frame of one group's videos and images.

    Args:
        dataset: The dataset's folder or bucket URI, of which the videos of the group are copied,
            one at a time, where objects are tracked in them.
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: Parquet file to write: BOX_SCHEMA in BOX_ORDER.
        settings: How boxes move between key frames.

    Raises:
        InputError: There is no such group, the settings are out of their limits, or a track or a
            video is bad.
    """
    settings.check()
    sources = read_plan(plan_dir).group(group)
    names = pa.array([source.name for source in sources], pa.string())
    keys = read_table(plan_dir / KEYS_FILE, KEY_SCHEMA, filters=pc.field("video").isin(names))
    tasks = {source.name: source.task for source in sources}
    watched = _watched(keys, sources) if settings.interpolation in ("auto", "tracked") else []
    table = pa.concat_tables(_interpolated(dataset, keys, tasks, watched, settings.interpolation))
    sizes = {source.name: source.size for source in sources}
    with atomic_file(boxes) as path:
        pq.write_table(clip_boxes(table.sort_by(BOX_ORDER), sizes), path)


def _interpolated(
    dataset: str,
    keys: pa.Table,
    tasks: Mapping[str, Task],
    watched: Sequence[str],
    method: Interpolation,
) -> Iterator[pa.Table]:
    """The boxes of all but the watched videos, then those of each of these."""
    own = pc.is_in(keys["video"], value_set=pa.array(watched, pa.string()))
    yield interpolate_videos(keys.filter(pc.invert(own)), tasks, {}, method)
    for name in watched:
        with local_dataset(dataset, [name]) as folder:
            some = keys.filter(pc.equal(keys["video"], name))
            yield interpolate_videos(some, {name: tasks[name]}, {name: folder / name}, method)


def _watched(keys: pa.Table, sources: list[Source]) -> list[str]:
    """The videos with tracks."""
    tracked = set(keys["video"].filter(pc.not_equal(keys["track_id"], UNTRACKED)).to_pylist())
    return [source.name for source in sources if source.kind == "video" and source.name in tracked]
