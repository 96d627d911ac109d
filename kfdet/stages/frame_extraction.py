"""Stage: the frames of one group that become examples, as TFRecord shards with their tables."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet import events
from kfdet.boxes.tables import BOX_SCHEMA, read_table, rows_by_video
from kfdet.errors import InputError
from kfdet.files import atomic_folder, count_cores
from kfdet.parameters import FrameSettings, SamplingSettings
from kfdet.planning.coverage import covered_ranges
from kfdet.planning.plan import Source, read_key_frames, read_plan
from kfdet.planning.sampling import select_frames
from kfdet.records.examples import Choice, choose_examples
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.group import GroupWriter
from kfdet.records.negatives import NEGATIVE_SCHEMA
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.copies import local_dataset
from kfdet.video.extraction import EncodedFrame, extract
from kfdet.video.images import read_image

_IMAGES = 64
"""Images that are worked on together; a video is worked on alone."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A source, its boxes, and what becomes of its frames."""

    source: Source
    boxes: FrameBoxes
    choices: Mapping[int, Sequence[Choice]]

    @property
    def frames(self) -> list[int]:
        """The frames to extract, rising."""
        return sorted(self.choices)


def extract_group(
    dataset: str,
    plan_dir: Path,
    group: int,
    boxes: Path,
    negatives: Path,
    shards: Path,
    index: Path,
    sampling: SamplingSettings,
    storing: FrameSettings,
    *,
    address: str = "",
) -> None:
    """Extract the planned frames of one group into TFRecord shards.

    One video is held at a time. The records follow the order of sources and frames: joined, the
    shards of all groups have the same bytes, whatever the groups are.

    Args:
        dataset: The dataset's folder or bucket URI, of which the sources of the group are copied.
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        boxes: The box file of the group (BOX_SCHEMA in BOX_ORDER).
        negatives: The background of the group, as negative mining chose it.
        shards: Folder to create: SPLIT-GROUP-00000.tfrecord, ...
        index: Folder to create: the tables of `kfdet.records.tables` about these.
        sampling: Which frames are used.
        storing: How they are stored.
        address: Where readers find the folder of shards, if it is copied into a bucket.

    Raises:
        InputError: There is no such group, the settings are out of their limits, a source is bad,
            or none of its labelled key frames can be read.
    """
    sampling.check()
    storing.check()
    place = address if is_bucket_uri(address) else os.path.relpath(shards, index)
    plan = read_plan(plan_dir)
    sources = plan.group(group)
    keys = read_key_frames(plan_dir, sources)
    planned = _Planned(keys, boxes, negatives, plan.labels, sampling)
    progress = events.Progress("extract frames", planned.count(sources), "frames")
    with (
        atomic_folder(shards) as data,
        atomic_folder(index) as tables,
        GroupWriter(data, tables, group, place) as writer,
        ThreadPoolExecutor(count_cores()) as pool,
    ):
        done = 0
        for batch in _batches(sources):
            jobs = [job for job in planned.jobs(batch) if job.choices]
            with local_dataset(dataset, [job.source.name for job in jobs]) as folder:
                for job in jobs:
                    _check_unchanged(folder / job.source.name, job.source)
                for job, frames in _decode(folder, jobs, storing, pool):
                    found = set()
                    for frame in frames:
                        for choice in job.choices[frame.frame]:
                            writer.add(job.source, choice, frame, job.boxes)
                        found.add(frame.frame)
                        progress.advance()
                    _complain_about_missing(job, found)
            done += planned.count(batch)  # some frames become no example
            progress.update(done)
        writer.write_boxes(planned.table)


class _Planned:
    """What the earlier stages decided about the sources of a group."""

    def __init__(
        self,
        keys: Mapping[str, npt.NDArray[np.int64]],
        boxes: Path,
        negatives: Path,
        labels: Sequence[str],
        sampling: SamplingSettings,
    ) -> None:
        self.table = read_table(boxes, BOX_SCHEMA)
        self._rows = rows_by_video(self.table)
        self._keys, self._labels, self._sampling = keys, labels, sampling
        self._negatives: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in read_table(negatives, NEGATIVE_SCHEMA).to_pylist():
            self._negatives[row["video"]].append(row)

    def jobs(self, sources: Sequence[Source]) -> Iterator[_Job]:
        """What becomes of the frames of some sources that lie side by side in the table."""
        rows = [self._rows[s.name] for s in sources if s.name in self._rows]
        first, stop = (rows[0].start, rows[-1].stop) if rows else (0, 0)
        boxes = FrameBoxes(self.table.slice(first, stop - first), sources, self._labels)
        for source in sources:
            choices: defaultdict[int, list[Choice]] = defaultdict(list)
            for choice in choose_examples(
                source,
                self._frames(source),
                boxes,
                self._negatives[source.name],
                covered_ranges(source, self._key_frames(source).tolist()),
            ):
                choices[choice.frame].append(choice)
            yield _Job(source, boxes, choices)

    def count(self, sources: Iterable[Source]) -> int:
        """How many frames the run uses of some sources."""
        return sum(len(self._frames(source)) for source in sources)

    def _key_frames(self, source: Source) -> npt.NDArray[np.int64]:
        return self._keys.get(source.name, np.zeros(0, np.int64))

    def _frames(self, source: Source) -> npt.NDArray[np.int64]:
        keys = self._key_frames(source)
        return select_frames(source, keys, self._sampling.frame_rate, self._sampling.every)


def _batches(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """A video alone, images a few dozen at a time, in their order."""
    for kind, some in itertools.groupby(sources, key=lambda source: source.kind):
        while batch := list(itertools.islice(some, 1 if kind == "video" else _IMAGES)):
            yield batch


def _decode(
    folder: Path, jobs: Sequence[_Job], storing: FrameSettings, pool: ThreadPoolExecutor
) -> Iterator[tuple[_Job, Iterable[EncodedFrame]]]:
    """The wanted frames of every source as JPEG, in order."""
    side, quality = storing.longest_side, storing.jpeg_quality
    images = [job for job in jobs if job.source.kind == "image"]
    read = pool.map(
        lambda job: read_image(folder / job.source.name, longest_side=side, quality=quality),
        images,
    )
    yield from ((job, [image]) for job, image in zip(images, read, strict=True))
    for job in jobs:
        if job.source.kind == "video":
            path = folder / job.source.name
            frames = np.array(job.frames, np.int64)
            yield job, extract(path, frames, longest_side=side, quality=quality, pool=pool)


def _check_unchanged(path: Path, source: Source) -> None:
    """Refuse a file that has changed since it was planned."""
    size = path.stat().st_size if path.exists() else 0
    if source.file_bytes and size != source.file_bytes:
        raise InputError(
            f"has {size:,} bytes, and had {source.file_bytes:,} when the run was planned.",
            file=path,
            hint="Start a new run.",
        )


def _complain_about_missing(job: _Job, found: set[int]) -> None:
    """Raise where no frame with a drawn box could be read; warn where some could not."""
    wanted = [
        frame
        for frame in job.frames
        if job.boxes.drawn[job.boxes.objects(job.source.name, frame)].any()
    ]
    missing = [frame for frame in wanted if frame not in found]
    if missing and len(missing) == len(wanted):
        raise InputError(
            f"none of its {len(wanted)} labelled key frames could be read.",
            file=job.source.name,
            hint="Is the video damaged? Play it, export it again, or leave it out.",
        )
    if missing:
        events.warn(
            f"{job.source.name}: {len(missing)} of {len(wanted)} labelled key frames could not be "
            f"read, the first is frame {missing[0]}; they are left out."
        )
