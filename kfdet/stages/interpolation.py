"""Stage: boxes on every frame from the key boxes of one group."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kfdet.boxes.clipping import clip_boxes
from kfdet.boxes.tables import UNTRACKED
from kfdet.files import atomic_file
from kfdet.motion.interpolation import interpolate_videos
from kfdet.parameters import BoxSettings
from kfdet.planning.plan import KEYS_FILE, Source, read_plan
from kfdet.storage.copies import local_dataset


def interpolate_group(
    dataset: str, plan_dir: Path, group: int, boxes: Path, settings: BoxSettings
) -> None:
    """Put boxes on every annotated frame of one group's videos and images.

    Args:
        dataset: The dataset's folder or bucket URI, of which the videos of the group are copied
            where objects are tracked in them.
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: Parquet file to write: BOX_SCHEMA, sorted by video, frame and track.
        settings: How boxes move between key frames.

    Raises:
        InputError: There is no such group, the settings are out of their limits, or a track or a
            video is bad.
    """
    settings.check()
    sources = read_plan(plan_dir).group(group)
    names = [source.name for source in sources]
    keys = pq.read_table(plan_dir / KEYS_FILE)
    own = keys.filter(pc.is_in(keys["video"], value_set=pa.array(names, pa.string())))
    tasks = {source.name: source.task for source in sources}
    sizes = {source.name: source.size for source in sources}
    watched = _watched(own, sources) if settings.interpolation in ("auto", "tracked") else []
    with local_dataset(dataset, watched) as folder:
        videos = {name: folder / name for name in watched}
        table = interpolate_videos(own, tasks, videos, settings.interpolation)
    with atomic_file(boxes) as path:
        pq.write_table(clip_boxes(table, sizes), path)


def _watched(keys: pa.Table, sources: list[Source]) -> list[str]:
    """The videos with tracks."""
    tracked = set(keys["video"].filter(pc.not_equal(keys["track_id"], UNTRACKED)).to_pylist())
    return [source.name for source in sources if source.kind == "video" and source.name in tracked]
