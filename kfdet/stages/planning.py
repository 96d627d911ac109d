"""Stage: check the dataset, split it, and cut it into groups."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from kfdet import events
from kfdet.dataset.loading import AS_IT_IS, Dataset, all_errors, load
from kfdet.dataset.media_files import ON_DISK, MediaFiles
from kfdet.dataset.several import part_names, split_datasets
from kfdet.files import atomic_folder
from kfdet.parameters import DatasetSettings, NegativeSettings, SamplingSettings, SplitSettings
from kfdet.planning.plan import KEYS_FILE, write_plan
from kfdet.planning.planner import make_plan
from kfdet.storage.copies import open_dataset

USUAL_BACKGROUND = NegativeSettings()
MOST_WARNINGS = 20


def plan_dataset(
    dataset: str,
    plan_dir: Path,
    sampling: SamplingSettings,
    split: SplitSettings,
    choice: DatasetSettings = AS_IT_IS,
    negatives: NegativeSettings = USUAL_BACKGROUND,
    *,
    seed: int,
) -> list[dict[str, int]]:
    """Decide what the run does with every video and image.

    Args:
        dataset: The dataset's folder or bucket URI, or several, separated by commas. Every image is
            compared, and every video on disk read to its end (frames are counted, not believed); of
            videos in a bucket only the index is read where that is exact.
        plan_dir: Folder to create: plan.jsonl and keys.parquet.
        sampling: Which frames are used.
        split: What evaluates instead of training.
        choice: What of the dataset is used, as what, and on which side, on top of what its
            dataset.yaml says.
        negatives: How much background trains.
        seed: Seed of the split.

    Returns:
        The groups, each as {"index": position}.

    Raises:
        InputError: The settings are out of their limits, or the dataset has errors: all of them,
            one per line.
    """
    sampling.check()
    choice.check()
    split.check()
    negatives.check()
    with open_dataset(dataset) as (folder, media):
        data = load_checked(folder, dataset, choice, media)
        plan, keys, split_warnings = make_plan(data, sampling, split, negatives, seed=seed)
        for warning in split_warnings:
            events.warn(warning)
    with atomic_folder(plan_dir) as written:
        write_plan(plan, written)
        pq.write_table(keys, written / KEYS_FILE)
    return [{"index": index} for index in range(len(plan.groups))]


def load_checked(
    folder: Path, dataset: str, choice: DatasetSettings, media: MediaFiles = ON_DISK
) -> Dataset:
    """Load a dataset and warn of what is odd in it.

    Args:
        folder: The dataset's folder on this machine.
        dataset: Its folder or bucket URI, or several, as the user named them.
        choice: What of it is used.
        media: How its videos and images are looked at.

    Raises:
        InputError: It has errors: all of them, one per line.
    """
    data = load(folder, choice, part_names(split_datasets(dataset)), media)
    warnings = [str(p) for p in data.problems if p.severity == "warning"]
    for warning in warnings[:MOST_WARNINGS]:
        events.warn(warning)
    if len(warnings) > MOST_WARNINGS:
        events.warn(f"{len(warnings) - MOST_WARNINGS} more warnings: see 'kfdet check {dataset}'.")
    errors = all_errors(data.problems)
    if errors:
        raise errors
    return data
