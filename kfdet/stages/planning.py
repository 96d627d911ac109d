"""Stage: check the dataset, split it, and cut it into groups."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from kfdet import events
from kfdet.dataset.loading import all_errors, load
from kfdet.errors import InputError
from kfdet.files import atomic_folder
from kfdet.planning.plan import KEYS_FILE, write_plan
from kfdet.planning.planner import Sampling, make_plan
from kfdet.storage.copies import local_dataset

MOST_WARNINGS = 20


def plan_dataset(
    dataset: str,
    plan: str,
    *,
    frame_rate: float = 10.0,
    every: int = 0,
    val_share: float = 0.2,
    guard_seconds: float = 3.0,
    seed: int = 0,
    max_groups: int = 8,
) -> list[dict[str, int]]:
    """Decide what the run does with every video and image.

    Args:
        dataset: The dataset's folder or bucket URI. Every video is read to its end (frames are
            counted, not believed) and every image compared, so that all of a bucket is copied.
        plan: Folder to create: plan.json and keys.parquet.
        frame_rate: At most this many frames of a video are used a second.
        every: Every Nth annotated frame instead, where it is not 0.
        val_share: Share of the frames that only evaluation sees.
        guard_seconds: Gap between training and evaluation within one video.
        seed: Seed of the split.
        max_groups: Sources are cut into at most this many groups.

    Returns:
        The groups, each as {"index": position}.

    Raises:
        InputError: A parameter is bad, or the dataset has errors: all of them, a line each.
    """
    if not 0 < val_share < 1:
        raise InputError(f"a validation share of {val_share} is not between 0 and 1.")
    if not guard_seconds >= 0:
        raise InputError(f"a guard gap of {guard_seconds} seconds makes no sense.")
    if max_groups < 1:
        raise InputError(f"max_groups={max_groups} makes no sense.", hint="Give at least 1.")
    with local_dataset(dataset) as folder:
        data = load(folder)
        warnings = [str(p) for p in data.problems if p.severity == "warning"]
        for warning in warnings[:MOST_WARNINGS]:
            events.warn(warning)
        if len(warnings) > MOST_WARNINGS:
            events.warn(
                f"{len(warnings) - MOST_WARNINGS} more warnings: see 'kfdet check {dataset}'."
            )
        errors = all_errors(data.problems)
        if errors:
            raise errors
        made, keys, split_warnings = make_plan(
            data,
            Sampling(frame_rate, every),
            val_share=val_share,
            guard_seconds=guard_seconds,
            seed=seed,
            max_groups=max_groups,
        )
        for warning in split_warnings:
            events.warn(warning)
    with atomic_folder(Path(plan)) as written:
        write_plan(made, written)
        pq.write_table(keys, written / KEYS_FILE)
    return [{"index": index} for index in range(len(made.groups))]
