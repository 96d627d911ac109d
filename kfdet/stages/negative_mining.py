"""Stage: background frames and crops for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.files import atomic_file
from kfdet.parameters import NegativeSettings
from kfdet.planning.plan import read_key_frames, read_plan
from kfdet.records.negatives import SourceFrames, mine
from kfdet.video.shards import FrameStore


def mine_negatives(
    plan_dir: Path,
    boxes: Sequence[Path],
    frames: Sequence[Path],
    negatives: Path,
    settings: NegativeSettings,
    *,
    seed: int,
) -> None:
    """Choose background frames and crops out of the training frames.

    Args:
        plan_dir: The folder that planning wrote.
        boxes: The box files of all groups.
        frames: The frame folders of all groups.
        negatives: Parquet file to write (`kfdet.records.negatives.NEGATIVE_SCHEMA`).
        settings: How many there are.
        seed: Seed of the choice.

    Raises:
        InputError: The settings are out of their limits.
    """
    settings.check()
    keys = read_key_frames(plan_dir)
    columns = ["video", "frame", "xmin", "ymin", "xmax", "ymax", "crowd"]
    all_boxes = _by_video(
        pa.concat_tables(
            [
                BOX_SCHEMA.empty_table().select(columns),
                *(pq.read_table(path, columns=columns) for path in boxes),
            ]
        )
    )
    with FrameStore(frames) as store:
        index = _by_video(store.index.select(["video", "frame"]))
    sources = [
        SourceFrames(
            source,
            keys.get(source.name, _NO_FRAMES),
            index.get(source.name, _NOTHING)[:, 0].astype(np.int64),
            all_boxes.get(source.name, _NOTHING)[:, 0].astype(np.int64),
            all_boxes.get(source.name, _NOTHING)[:, 1:5],
            all_boxes.get(source.name, _NOTHING)[:, 5].astype(bool),
        )
        for source in read_plan(plan_dir).sources
        if source.train
    ]
    with atomic_file(negatives) as path:
        pq.write_table(mine(sources, settings.negative_share, seed), path)


_NOTHING = np.zeros((0, 6))
_NO_FRAMES = np.zeros(0, np.int64)


def _by_video(table: pa.Table) -> dict[str, np.ndarray]:
    """Rows of numbers (the columns after `video`) of every video, sorted by frame."""
    table = table.sort_by([("video", "ascending"), ("frame", "ascending")])
    numbers = np.column_stack([column.to_numpy() for column in table.columns[1:]])
    videos = table["video"].combine_chunks().dictionary_encode()
    codes = videos.indices.to_numpy()
    starts = np.searchsorted(codes, np.arange(len(videos.dictionary) + 1))
    return {
        name: numbers[starts[i] : starts[i + 1]]
        for i, name in enumerate(videos.dictionary.to_pylist())
    }
