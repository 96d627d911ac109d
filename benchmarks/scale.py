"""Every stage on the tables of a large dataset: peak memory, time, and what its pods download.

    python -m benchmarks.scale [--videos 1000] [--labels 200]

The videos do not exist: 1,000 used frames with 5 boxes each, between keys a second apart. Pictures
are a few bytes each, so that what is measured is everything but pixels: their decoding is a matter
of seconds a video (`benchmarks.frame_extraction`), and as many pods as there are groups share it.
A tenth of the videos comes first, for the growth. Each stage runs in a process of its own, its
groups one after the other.

What a group downloads is that of the largest one. Sides that measure have at most 20,000 pictures;
that evaluation's metrics and report fit in memory is shown by `benchmarks.evaluation`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import simplejpeg

from benchmarks.table import Row, print_table
from kfdet.dataset.formats.model import Item, KeyBox
from kfdet.dataset.loading import Dataset
from kfdet.files import list_files
from kfdet.parameters import (
    BoxSettings,
    FrameSettings,
    NegativeSettings,
    SamplingSettings,
    SplitSettings,
)
from kfdet.planning.plan import KEYS_FILE, read_plan, write_plan
from kfdet.planning.planner import make_plan
from kfdet.stages import frame_extraction
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.negative_mining import mine_negatives
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.storage.shards import open_records
from kfdet.video.extraction import EncodedFrame

WIDTH, HEIGHT, FPS, STEP = 1920, 1080, 30.0, 3
FRAMES = 3000
"""Of a video; every third one is used."""
TRACKS = 5
KEY_DISTANCE = 30

MOST_GIBIBYTES = 2.0
MOST_GROWTH = 12.0

PICTURE = simplejpeg.encode_jpeg(np.zeros((9, 16, 3), np.uint8))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the artifacts of a run are, and how large its dataset is."""

    folder: Path
    videos: int
    labels: int

    @property
    def plan(self) -> Path:
        """The folder of the plan."""
        return self.folder / "plan"

    @property
    def records(self) -> Path:
        """The folder of the records."""
        return self.folder / "records"

    def groups(self) -> range:
        """The groups of the plan."""
        return range(len(read_plan(self.plan).groups))

    def of(self, name: str, group: int) -> Path:
        """An artifact of a group."""
        return self.folder / f"{name}-{group}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took.

    Args:
        seconds: Processor time, all groups one after the other.
        gibibytes: Peak memory.
        download: Bytes that a pod downloads, pictures and videos left out; of the largest group.
    """

    seconds: float
    gibibytes: float
    download: int


def plan(place: Place) -> int:
    """Plan the dataset, of which the annotations were read."""
    data = _dataset(place)
    made, keys, _ = make_plan(data, SamplingSettings(), SplitSettings(), NegativeSettings(), seed=0)
    place.plan.mkdir()
    write_plan(made, place.plan)
    pq.write_table(keys, place.plan / KEYS_FILE)
    return 0


def _dataset(place: Place) -> Dataset:
    random = np.random.default_rng(0)
    labels = [f"label-{number:03d}" for number in range(place.labels)]
    items = []
    for video in range(place.videos):
        name = f"{video:05d}.mp4"
        path = place.folder / "dataset" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)  # other bytes than those of every other video
        items.append(
            Item(
                name,
                path,
                "video",
                WIDTH,
                HEIGHT,
                FRAMES,
                FPS,
                annotation=f"{name}.xml",
                stop=FRAMES - STEP,
                step=STEP,
                keys=list(_keys(random, labels)),
            )
        )
    return Dataset(place.folder / "dataset", items, labels, [], name="synthetic")


def _keys(random: np.random.Generator, labels: Sequence[str]) -> Iterator[KeyBox]:
    for track in range(TRACKS):
        label = labels[int(len(labels) * random.random() ** 2)]  # common ones and rare ones
        corner, speed = random.uniform(0, 900, 2), random.uniform(-0.2, 0.2, 2)
        # the last two minutes show nothing, for the background
        for frame in range(0, FRAMES - 120 * STEP, KEY_DISTANCE):
            left, top = np.clip(corner + speed * frame, 0, 800).tolist()
            yield KeyBox(track, label, frame, left, top, left + 200, top + 150)
        yield KeyBox(track, label, FRAMES - 120 * STEP, left, top, left, top, outside=True)


def interpolation(place: Place) -> int:
    """Boxes on every frame."""
    settings = BoxSettings(interpolation="linear")
    for group in place.groups():
        interpolate_group("", place.plan, group, place.of("boxes", group), settings)
    return _bytes(place.plan)


def negative_mining(place: Place) -> int:
    """Background."""
    for group in place.groups():
        boxes, negatives = place.of("boxes", group), place.of("negatives", group)
        mine_negatives(place.plan, group, boxes, negatives, SamplingSettings(), seed=0)
    return _bytes(place.plan) + max(_bytes(place.of("boxes", g)) for g in place.groups())


def extraction(place: Place) -> int:
    """Shards and their tables, with a few bytes in place of each picture."""
    frame_extraction._decode = _decode  # type: ignore[assignment]
    settings = SamplingSettings(), FrameSettings()
    for group in place.groups():
        inputs = (place.plan, group, place.of("boxes", group), place.of("negatives", group))
        outputs = (place.of("shards", group), place.of("index", group))
        frame_extraction.extract_group(str(place.folder / "dataset"), *inputs, *outputs, *settings)
    own = (_bytes(place.of("boxes", g)) + _bytes(place.of("negatives", g)) for g in place.groups())
    return _bytes(place.plan) + max(own)


def _decode(
    _: Path, jobs: Sequence[Any], __: FrameSettings, ___: ThreadPoolExecutor
) -> Iterator[tuple[Any, Iterator[EncodedFrame]]]:
    size = (16, 9, WIDTH, HEIGHT)
    for job in jobs:
        yield job, (EncodedFrame(frame, PICTURE, *size, frame / FPS) for frame in job.frames)


def tfrecord_build(place: Place) -> int:
    """The tables and the statistics of all groups."""
    indexes = [place.of("index", group) for group in place.groups()]
    build_tfrecords("", place.plan, indexes, place.records, place.folder / "all_boxes")
    return _bytes(place.plan) + sum(map(_bytes, indexes))


def training(place: Place) -> int:
    """What training holds in memory before its first step, where pictures are not kept decoded."""
    from kfdet.evaluation.validation import Validation
    from kfdet.training.examples import read_examples

    with open_records(place.records) as records:
        sides = [
            read_examples(records, side, 288, 512, place.folder / "cache", 0)
            for side in ("train", "val")
        ]
        Validation.of(records)
        sides[0].images[len(sides[0]) // 2]
    return _bytes(place.records)


def export(place: Place) -> int:
    """The pictures that calibrate int8."""
    from kfdet.export.calibration import calibration_pictures

    with open_records(place.records) as records:
        list(calibration_pictures(records, 288, 512))
    return _bytes(place.records)


def evaluation(place: Place) -> int:
    """The truth of the side that measures, and its pictures."""
    from kfdet.evaluation.ground_truth import read_ground_truth

    with open_records(place.records) as records:
        truths = read_ground_truth(records)
        for _ in records.pictures(truth.source_id for truth in truths):
            pass
    return _bytes(place.records)


def deployment(place: Place) -> int:
    """The pictures of the smoke test."""
    from kfdet.deployment.smoke_test import validation_pictures

    with open_records(place.records) as records:
        validation_pictures(records)
    return _bytes(place.records)


STAGES: tuple[Callable[[Place], int], ...] = (
    plan,
    interpolation,
    negative_mining,
    extraction,
    tfrecord_build,
    training,
    export,
    evaluation,
    deployment,
)


def _bytes(path: Path) -> int:
    files = list_files(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def run(place: Place) -> dict[str, Cost]:
    """Run every stage and return what it took."""
    context = multiprocessing.get_context("spawn")
    costs = {}
    for stage in STAGES:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(stage, place, sender))
        process.start()
        sender.close()
        costs[stage.__name__] = receiver.recv()
        process.join()
    return costs


def _measure(stage: Callable[[Place], int], place: Place, sender: Connection) -> None:
    started = time.process_time()  # what other work takes from the cores must not look like growth
    download = stage(place)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sender.send(Cost(seconds, peak, download))


def measure(videos: int = 1000, labels: int = 200) -> list[Row]:
    """Run both sizes and compare them."""
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        before = run(Place(Path(small), videos // 10, labels))
        costs = run(Place(Path(large), videos, labels))
    rows = []
    for name, cost in costs.items():
        what = f"{name}, {videos} videos"
        growth = cost.seconds / before[name].seconds
        memory = cost.gibibytes
        rows += [
            Row(f"{what}: memory", memory, 0, "GiB", MOST_GIBIBYTES / memory, 1.0),
            Row(
                f"{what}: processor time, and of a tenth",
                cost.seconds,
                before[name].seconds,
                "s",
                MOST_GROWTH / growth,
                1.0,
            ),
            Row(f"{what}: download of a pod", cost.download / 1e6, 0, "MB", 1.0, 0.0),
        ]
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=200)
    given = parser.parse_args()
    print_table(measure(given.videos, given.labels))


if __name__ == "__main__":
    main()
