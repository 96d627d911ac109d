"""A run of many short videos with small frames on this machine: memory, disk and time.

    python -m benchmarks.many_videos [--videos 200] [--frames 500] [--steps 20]

Nothing is left out: videos are encoded, every frame is extracted, and the run goes up to its
report. Memory is the largest of any process, disk the largest size that the run's folder had, as a
multiple of the bytes of its frames. Pictures are decoded anew for each step, as they are where the
disk does not hold all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa

from benchmarks.table import Row, print_table
from kfdet.dataset.formats.cvat_video import write
from kfdet.dataset.formats.model import AnnotatedItem, Item, KeyBox, key_table
from kfdet.events import track
from kfdet.motion.interpolation import interpolate_videos

WIDTH, HEIGHT, FPS = 320, 240, 25
KEY_DISTANCE = 25
LABELS = ("disc", "square")
MOST_GIBIBYTES = 4.0
MOST_DISK = 2.5


def make_dataset(folder: Path, videos: int, frames: int) -> None:
    """Write videos in which a disc or a square moves on noise, with a key box every second."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in track(range(videos), "making videos", videos, "videos"):
        name = f"{number:04d}"
        label = LABELS[number % 2]
        ground = cv2.resize(random.integers(60, 190, (24, 32, 3), np.uint8), (WIDTH, HEIGHT))
        start, speed = random.uniform(20, 120, 2), random.uniform(0.02, 0.2, 2)
        places = start + speed * np.arange(frames)[:, None]
        path = folder / f"{name}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.options = {"preset": "ultrafast", "crf": "23"}
            for x, y in places.round().astype(int).tolist():
                picture = ground + random.integers(0, 12, ground.shape, np.uint8)
                if label == "disc":
                    cv2.circle(picture, (x + 25, y + 25), 25, (230, 60, 40), -1)
                else:
                    picture[y : y + 50, x : x + 50] = (50, 90, 230)
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture)):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        keyed = [*range(0, frames, KEY_DISTANCE), frames - 1]
        keys = [
            KeyBox(0, label, frame, *places[frame].tolist(), *(places[frame] + 50).tolist())
            for frame in dict.fromkeys(keyed)
        ]
        item = Item(f"{name}.mp4", path, "video", WIDTH, HEIGHT, frames, FPS, stop=frames - 1)
        table: pa.Table = interpolate_videos(
            key_table([(item.name, keys)]), {item.name: (0, frames - 1, 1)}, {}, "linear"
        )
        item.keys = keys
        write([AnnotatedItem(item, table)], list(LABELS), folder / f"{name}.xml", key_frames=True)


def measure(videos: int = 200, frames: int = 500, steps: int = 20) -> list[Row]:
    """Run the pipeline and return what it took."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset, run = Path(scratch, "dataset"), Path(scratch, "run")
        make_dataset(dataset, videos, frames)
        command = [sys.executable, "-m", "kfdet", "run", str(dataset), "--output", str(run)]
        command += ["--every", "1", "--steps", str(steps), "--early-stop", "0"]
        command += ["--cache-gb", "0.000001", "--pretrained", "none"]
        with _largest(run) as sizes:
            subprocess.run(command, check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        shards = sum(file.stat().st_size for file in run.rglob("*.tfrecord"))
        stages = json.loads((run / "run.json").read_text())["stages"]
    name = f"{videos * frames:,} frames of {videos} videos"
    return [
        Row(f"{name}: memory of the largest process", peak, 0, "GiB", MOST_GIBIBYTES / peak, 1.0),
        Row(
            f"{name}: disk, of the frames' bytes",
            max(sizes) / shards,
            0,
            "times",
            MOST_DISK / (max(sizes) / shards),
            1.0,
        ),
        *(Row(f"{name}: {s['stage']}", s["seconds"], 0, "s", 1.0, 0.0) for s in stages),
    ]


@contextmanager
def _largest(folder: Path) -> Iterator[list[int]]:
    """Sizes of a folder, every few seconds."""
    sizes, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(3):
            sizes.append(_size(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may go just now
            size += path.lstat().st_size
    return size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    started = time.perf_counter()
    print_table(measure(given.videos, given.frames, given.steps))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
