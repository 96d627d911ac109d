"""Stage: the frames that later stages use, out of the videos and images of one group."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from kfdet import events
from kfdet.files import count_cores
from kfdet.parameters import FrameSettings, SamplingSettings
from kfdet.planning.plan import Source, read_key_frames, read_plan
from kfdet.planning.sampling import Frames, select_frames
from kfdet.storage.copies import local_dataset
from kfdet.video.extraction import EncodedFrame, extract
from kfdet.video.images import read_image
from kfdet.video.shards import FrameWriter

# Sources are dealt out to this many lanes of shards, whatever the machine, so that the bytes do not
# depend on it; as many lanes run at a time as there are cores.
LANES = 4

Job = tuple[Source, Frames]
"""A source and its frames to extract."""


def extract_group(
    dataset: str,
    plan_dir: Path,
    group: int,
    frames: Path,
    sampling: SamplingSettings,
    storing: FrameSettings,
) -> None:
    """Extract the planned frames of one group into shards.

    Args:
        dataset: The dataset's folder or bucket URI, of which the sources of the group are copied.
        plan_dir: The folder that planning wrote.
        group: Position of the group in the plan.
        frames: Folder to create: shards and their index (`kfdet.video.shards`).
        sampling: Which frames are extracted beside the key frames.
        storing: How they are stored.

    Raises:
        InputError: There is no such group, the settings are out of their limits, or a source is
            bad.
    """
    sampling.check()
    storing.check()
    jobs = _jobs(plan_dir, group, sampling)
    lanes = _deal(jobs)
    progress = events.Progress("extract frames", sum(len(w) for _, w in jobs), "frames")
    side_by_side = max(1, min(len(lanes), count_cores()))
    threads = -(-count_cores() // side_by_side)
    stopped = threading.Event()
    with (
        local_dataset(dataset, {source.name for source, _ in jobs}) as folder,
        FrameWriter(frames) as writer,
        ThreadPoolExecutor(count_cores()) as encoders,
        ThreadPoolExecutor(side_by_side) as decoders,
    ):

        def run_lane(number: int) -> None:
            for source, wanted in lanes[number]:
                for frame in _decode(folder, source, wanted, storing, encoders, threads):
                    if stopped.is_set():
                        return
                    writer.add(source.name, lane=number, **asdict(frame))
                    progress.advance()

        try:
            running = [decoders.submit(run_lane, number) for number in range(len(lanes))]
            for lane in as_completed(running):
                lane.result()
        finally:
            stopped.set()  # neither an error nor an interrupt must wait for whole videos


def _jobs(plan_dir: Path, group: int, sampling: SamplingSettings) -> list[Job]:
    """The sources of the group of which frames are used."""
    keys = read_key_frames(plan_dir)
    jobs = []
    for source in read_plan(plan_dir).group(group):
        wanted = select_frames(
            source, keys.get(source.name, ()), sampling.frame_rate, sampling.every
        )
        if len(wanted):
            jobs.append((source, wanted))
    return jobs


def _decode(
    folder: Path,
    source: Source,
    wanted: Frames,
    storing: FrameSettings,
    encoders: ThreadPoolExecutor,
    threads: int,
) -> Iterable[EncodedFrame]:
    """The wanted frames of a source as JPEG."""
    path = folder / source.name
    if source.kind == "image":
        return [read_image(path, longest_side=storing.longest_side, quality=storing.jpeg_quality)]
    return extract(
        path,
        wanted,
        longest_side=storing.longest_side,
        quality=storing.jpeg_quality,
        pool=encoders,
        threads=threads,
    )


def _deal(jobs: list[Job]) -> list[list[Job]]:
    """Spread jobs over at most LANES lanes of about the same number of frames."""
    lanes: list[list[Job]] = [[] for _ in range(min(LANES, len(jobs)))]
    load = [0] * len(lanes)
    for job in sorted(jobs, key=lambda job: (-len(job[1]), job[0].name)):
        lane = load.index(min(load))
        lanes[lane].append(job)
        load[lane] += len(job[1])
    return lanes
