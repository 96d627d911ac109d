"""Frame extraction beside the ffmpeg command line and beside decoding alone.

    python -m benchmarks.frame_extraction [--data FOLDER]

The video is made here: 1080p H.264, a textured scene under a moving camera, moving objects, and
sensor noise, so that neither decoder nor JPEG encoder has it easy. Ours is the whole stage: planned
frames, one box on each, into TFRecord shards and their tables. All sides write where they can write
fastest (memory where there is some) and use all cores. `ffmpeg -q:v 2` is asked for its best
quality; the quality line shows what both make of it: bytes a picture, and the PSNR of luma against
the decoded frames, each side's pictures brought back to the video's range.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from numpy.typing import NDArray

from benchmarks.table import Row, print_table
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.parameters import FrameSettings, SamplingSettings
from kfdet.planning.plan import KEYS_FILE, Plan, Source, Split, write_plan
from kfdet.records.negatives import negative_table
from kfdet.stages.frame_extraction import extract_group
from kfdet.video.extraction import extract
from kfdet.video.packets import scan
from kfdet.video.probe import describe

WIDTH, HEIGHT, FRAMES = 1920, 1080, 300
ROUNDS = 4


def make_video(path: Path, frames: int = FRAMES) -> None:
    """Write the benchmark's video, which is always the same."""
    random = np.random.default_rng(0)

    def texture(height: int, width: int) -> NDArray[np.float32]:
        sum_: NDArray[np.float32] = np.zeros((height, width), np.float32)
        for octave in range(1, 8):
            size = 2**octave
            cells = random.standard_normal((height // size + 2, width // size + 2), np.float32)
            sum_ += size**0.7 * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.asarray((sum_ - sum_.min()) / np.ptp(sum_), np.float32)

    luma = (16 + 219 * texture(HEIGHT + 400, WIDTH + 800)).astype(np.int16)
    chroma = [
        (64 + 128 * texture(HEIGHT // 2 + 200, WIDTH // 2 + 400)).astype(np.uint8) for _ in "uv"
    ]
    objects = [(16 + 219 * texture(200, 240)).astype(np.int16) for _ in range(8)]
    noise = [random.normal(0, 2.5, (HEIGHT, WIDTH)).round().astype(np.int16) for _ in range(7)]
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "20"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            x = 2 * int(100 + 75 * np.sin(number / 40))
            y = 2 * int(50 + 40 * np.cos(number / 55))
            scene = luma[y : y + HEIGHT, x : x + WIDTH].copy()
            for index, thing in enumerate(objects):
                left = (index * 237 + number * (3 + index)) % (WIDTH - 240)
                top = (index * 131 + number * (index % 3)) % (HEIGHT - 200)
                scene[top : top + 200, left : left + 240] = thing
            scene += np.roll(noise[number % 7], 13 * number, axis=1)
            planes = [scene.clip(16, 235).astype(np.uint8)] + [
                p[y // 2 : (y + HEIGHT) // 2, x // 2 : (x + WIDTH) // 2] for p in chroma
            ]
            flat = np.concatenate([plane.ravel() for plane in planes])
            frame = av.VideoFrame.from_ndarray(flat.reshape(HEIGHT * 3 // 2, WIDTH), "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


Side = Callable[[Path, Path], None]
"""Video and folder to write."""


def _stage(video: Path, every: int, root: Path) -> Side:
    """The stage on every Nth frame of a video; what it reads goes into a new folder."""
    info = describe(scan(video))
    root.mkdir()
    (root / "dataset").mkdir()
    (root / "dataset" / video.name).symlink_to(video.resolve())
    last = info.frames - 1
    size = (info.width, info.height, info.frames, info.fps)
    source = Source(video.name, "video", "", *size, 0, last, 1, train=((0, last),))
    split = Split("video", 0.2, 3.0, 0)
    write_plan(Plan("data", ("thing",), (source,), split, ((video.name,),)), root)
    pq.write_table(KEY_SCHEMA.empty_table(), root / KEYS_FILE)
    row = {"video": video.name, "track_id": 0, "label": "thing", "method": "linear"}
    row |= {"xmin": 9.0, "ymin": 9.0, "xmax": 90.0, "ymax": 90.0}
    row |= dict.fromkeys(("occluded", "keyframe", "difficult", "crowd"), False)
    boxes = [row | {"frame": frame} for frame in range(info.frames)]
    pq.write_table(pa.Table.from_pylist(boxes, schema=BOX_SCHEMA), root / "boxes")
    pq.write_table(negative_table([]), root / "negatives")

    def run(_: Path, folder: Path) -> None:
        extract_group(
            str(root / "dataset"),
            root,
            0,
            root / "boxes",
            root / "negatives",
            folder / "shards",
            folder / "index",
            SamplingSettings(every=every),
            FrameSettings(),
        )

    return run


def _ffmpeg(video: Path, folder: Path) -> None:
    folder.mkdir()
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-q:v", "2", f"{folder}/%06d.jpg"]
    subprocess.run(command, check=True)


def _decode(video: Path, _: Path) -> None:
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _frame in container.decode(video=0):
            pass


def _race(video: Path, frames: int, sides: Sequence[Side], rounds: int) -> list[float]:
    """Return each side's best frames per second; they take turns, as other work disturbs."""
    best = [0.0] * len(sides)
    for _ in range(rounds):
        for index, side in enumerate(sides):
            with tempfile.TemporaryDirectory(dir=_memory()) as scratch:
                started = time.perf_counter()
                side(video, Path(scratch) / "frames")
                best[index] = max(best[index], frames / (time.perf_counter() - started))
    return best


def _memory() -> str | None:
    return "/dev/shm" if shutil.disk_usage("/dev/shm").free > 2 << 30 else None  # noqa: S108


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one side's pictures: mean bytes, and mean PSNR of luma in decibels."""

    size: float
    psnr: float


def compare_quality(video: Path) -> dict[str, Quality]:
    """Return size and fidelity of every 30th picture, ours and ffmpeg's."""
    frames = range(0, scan(video).frames, 30)
    with av.open(str(video)) as container:
        luma = [
            frame.to_ndarray()[: frame.height].astype(float)
            for number, frame in enumerate(container.decode(video=0))
            if number in frames
        ]
    with tempfile.TemporaryDirectory(dir=_memory()) as scratch:
        _ffmpeg(video, Path(scratch) / "ffmpeg")
        pictures = {
            "kfdet": [picture.jpeg for picture in extract(video, frames)],
            "ffmpeg": [(Path(scratch) / f"ffmpeg/{n + 1:06d}.jpg").read_bytes() for n in frames],
        }
    result = {}
    for side, jpegs in pictures.items():
        errors = []
        for jpeg, truth in zip(jpegs, luma, strict=True):
            gray = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0]
            errors.append(np.mean((16 + gray * (219 / 255) - truth) ** 2))
        size = float(np.mean([len(jpeg) for jpeg in jpegs]))
        result[side] = Quality(size, float(10 * np.log10(255**2 / np.mean(errors))))
    return result


def _rows(
    name: str, video: Path, scratch: Path, rounds: int, floors: tuple[float, float]
) -> list[Row]:
    frames = scan(video).frames
    each, tenth = (_stage(video, every, scratch / f"{video.stem}-{every}") for every in (1, 10))
    decoding, all_, few = _race(video, frames, (_decode, each, tenth), rounds)
    rows = []
    if shutil.which("ffmpeg"):
        again, ffmpeg = _race(video, frames, (each, _ffmpeg), rounds)
        all_ = max(all_, again)
        rows.append(
            Row(f"{name}: every frame / ffmpeg", all_, ffmpeg, "frames/s", all_ / ffmpeg, floors[0])
        )
    rows.append(
        Row(f"{name}: every 10th / decoding", few, decoding, "frames/s", few / decoding, floors[1])
    )
    return rows


def measure(data: Path | None = None, rounds: int = ROUNDS) -> list[Row]:
    """Compare both sides on the generated video, and on the real one where `data` has it.

    Args:
        data: Folder of real data with `pets/vtest.avi`.
        rounds: Turns of each side; the best counts.
    """
    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch) / "1080p.mp4"
        make_video(video)
        rows = _rows("1080p H.264", video, Path(scratch), rounds, (1.5, 0.9))
        real = data / "pets" / "vtest.avi" if data else None
        if real and real.is_file():
            rows += _rows("vtest.avi", real, Path(scratch), rounds, (1.5, 0.0))
    return rows


def main() -> None:
    """Print the table and the quality of both sides."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="folder of real data with pets/vtest.avi")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    print_table(measure(arguments.data, arguments.rounds))
    if shutil.which("ffmpeg"):
        with tempfile.TemporaryDirectory() as scratch:
            video = Path(scratch) / "1080p.mp4"
            make_video(video, frames=61)
            for side, quality in compare_quality(video).items():
                kilobytes = quality.size / 1000
                print(f"{side}: {kilobytes:.0f} kB per picture, PSNR of luma {quality.psnr:.1f} dB")


if __name__ == "__main__":
    main()
