"""Stage: the frames that later stages use, out of the videos and images of one group."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from kfdet import events
from kfdet.errors import InputError
from kfdet.files import count_cores
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
    plan: str,
    group: int,
    frames: str,
    *,
    frame_rate: float = 10.0,
    every: int = 0,
    longest_side: int = 0,
    jpeg_quality: int = 92,
) -> None:
    """Extract the planned frames of one group into shards.

    Args:
        dataset: The dataset's folder or bucket URI, of which the sources of the group are copied.
        plan: The folder that planning wrote.
        group: Position of the group in the plan.
        frames: Folder to create: shards and their index (`kfdet.video.shards`).
        frame_rate: At most this many frames a second, key frames aside.
        every: Every Nth annotated frame instead, where it is not 0.
        longest_side: Shrink pictures to this many pixels; 0 keeps the size.
        jpeg_quality: JPEG quality, 1 to 100, of what has to be encoded.

    Raises:
        InputError: The group, a parameter or a source is bad.
    """
    sources = read_plan(Path(plan)).group(group)
    if not 1 <= jpeg_quality <= 100:
        raise InputError(f"JPEG quality {jpeg_quality} is not between 1 and 100.")
    if longest_side < 0:
        raise InputError(f"a longest side of {longest_side} pixels makes no sense.")
    keys = read_key_frames(Path(plan))
    jobs: list[Job] = []
    for source in sources:
        wanted = select_frames(source, keys.get(source.name, ()), frame_rate, every)
        if len(wanted):
            jobs.append((source, wanted))
    lanes = _deal(jobs)
    progress = events.Progress("extract frames", sum(len(w) for _, w in jobs), "frames")
    running = max(1, min(len(lanes), count_cores()))
    lock, ended = threading.Lock(), threading.Event()

    def run(folder: Path, lane: int, writer: FrameWriter, encoders: ThreadPoolExecutor) -> None:
        try:
            for source, wanted in lanes[lane]:
                path = folder / source.name
                if source.kind == "image":
                    image = read_image(path, longest_side=longest_side, quality=jpeg_quality)
                    pictures: Iterable[EncodedFrame] = [image]
                else:
                    pictures = extract(
                        path,
                        wanted,
                        longest_side=longest_side,
                        quality=jpeg_quality,
                        pool=encoders,
                        threads=-(-count_cores() // running),
                    )
                for picture in pictures:
                    if ended.is_set():
                        return
                    writer.add(source.name, lane=lane, **asdict(picture))
                    with lock:
                        progress.advance()
        except BaseException:
            ended.set()
            raise

    with (
        local_dataset(dataset, {source.name for source, _ in jobs}) as folder,
        FrameWriter(Path(frames)) as writer,
        ThreadPoolExecutor(count_cores()) as encoders,
        ThreadPoolExecutor(running) as decoders,
    ):
        try:
            for done in [
                decoders.submit(run, folder, n, writer, encoders) for n in range(len(lanes))
            ]:
                done.result()
        finally:
            ended.set()  # An interrupt must not wait for whole videos.


def _deal(jobs: list[Job]) -> list[list[Job]]:
    """Spread jobs over at most LANES lanes of about the same number of frames."""
    lanes: list[list[Job]] = [[] for _ in range(min(LANES, len(jobs)))]
    load = [0] * len(lanes)
    for job in sorted(jobs, key=lambda job: (-len(job[1]), job[0].name)):
        lane = load.index(min(load))
        lanes[lane].append(job)
        load[lane] += len(job[1])
    return lanes
