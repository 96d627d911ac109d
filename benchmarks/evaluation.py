"""Evaluation of many pictures: peak memory and time of the metrics and the report.

    python -m benchmarks.evaluation [--pictures 2000 20000] [--labels 200] [--detections 100]

Truth and answers are made up, and no picture is decoded: what is measured is everything that
follows the model, up to metrics.json and the report. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from kfdet.boxes.tables import Boxes
from kfdet.detection import Detections
from kfdet.evaluation.average_precision import Floats
from kfdet.evaluation.by_video import by_video
from kfdet.evaluation.ground_truth import GroundTruth, frame_rates
from kfdet.evaluation.measurement import measure
from kfdet.evaluation.metrics import describe
from kfdet.evaluation.report.page import Origin, render_report
from kfdet.evaluation.report.selection import select
from kfdet.evaluation.verdict import judge
from kfdet.parameters import Gate

SIZE = (1280, 720)
BOXES = 5
"""Objects on a picture, on average."""

_FPS = 10.0


@dataclass(frozen=True, slots=True)
class Side:
    """A measured side of a dataset that does not exist, and a model's answers to it.

    Args:
        labels: Names of the labels.
        truths: Every picture; a tenth of the boxes is interpolated.
        detections: The answers, in the same order.
        statistics: What dataset.json would say.
    """

    labels: tuple[str, ...]
    truths: list[GroundTruth]
    detections: list[Detections]
    statistics: dict[str, Any]


def synthetic_side(
    pictures: int, labels: int = 200, detections: int = 100, frames: int = 100, seed: int = 0
) -> Side:
    """Pictures with 5 objects each on average, of common labels and rare ones.

    Four of five objects are found, one in twenty under another label; the other answers are boxes
    at random places, with lower scores.

    Args:
        pictures: How many there are.
        labels: How many there are.
        detections: On each picture.
        frames: Measured frames of one video.
        seed: Another side for each.
    """
    random = np.random.default_rng(seed)
    names = tuple(f"label-{number:03d}" for number in range(1, labels + 1))
    shares = 1 / np.arange(10, labels + 10)
    shares /= shares.sum()
    truths, answers = [], []
    for picture in range(pictures):
        truth = _truth(picture, frames, random, shares)
        truths.append(truth)
        answers.append(_answer(truth, detections, random, names))
    return Side(names, truths, answers, _statistics(names, truths, frames))


def _truth(picture: int, frames: int, random: np.random.Generator, shares: Floats) -> GroundTruth:
    count, frame = int(random.poisson(BOXES)), picture % frames
    boxes = _boxes(count, random)
    drawn = random.random(count) >= 0.1
    return GroundTruth(
        source_id=picture + 1,
        video=f"videos/{picture // frames:05d}.mp4",
        frame=frame,
        kind="frame" if count else "background",
        stored=SIZE,
        window=(0.0, 0.0, float(SIZE[0]), float(SIZE[1])),
        boxes=boxes,
        classes=random.choice(len(shares), count, p=shares) + 1,
        crowd=np.zeros(count, bool),
        difficult=random.random(count) < 0.02,
        drawn=drawn,
        tracks=np.arange(count),
        keys=frame + np.where(drawn, 0, 3)[:, None] * [-1, 1],
        hulls=boxes + np.where(drawn, 0.0, 8.0)[:, None] * [-1, -1, 1, 1],
    )


def _answer(
    truth: GroundTruth, count: int, random: np.random.Generator, names: Sequence[str]
) -> Detections:
    seen = np.flatnonzero(random.random(len(truth.boxes)) < 0.8)[:count]
    mistaken = random.random(len(seen)) < 0.05
    guesses = random.integers(1, len(names) + 1, count)
    classes = np.concatenate(
        [np.where(mistaken, guesses[: len(seen)], truth.classes[seen]), guesses]
    )
    near = truth.boxes[seen] + random.normal(0, 4, (len(seen), 4))
    boxes = np.concatenate([near, _boxes(count, random)])[:count]
    scores = np.concatenate([random.beta(4, 2, len(seen)), random.beta(1, 12, count)])[:count]
    order = np.argsort(-scores, kind="stable")
    return Detections(
        boxes=boxes[order],
        labels=tuple(names[k - 1] for k in classes[:count][order].tolist()),
        scores=scores[order],
        size=SIZE,
    )


def _boxes(count: int, random: np.random.Generator) -> Boxes:
    sides = np.exp(random.uniform(np.log(16), np.log(300), (count, 2)))
    corners = random.uniform(0, 1, (count, 2)) * (np.array(SIZE) - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def _statistics(
    labels: Sequence[str], truths: Sequence[GroundTruth], frames: int
) -> dict[str, Any]:
    """The parts of dataset.json that metrics and report read; training saw the same."""
    numbers = Counter(k for truth in truths for k in truth.classes.tolist())
    counts = {
        **dict.fromkeys(("frame", "background", "crop", "tracks", "occluded_boxes"), 0),
        "examples": len(truths),
        "boxes": numbers.total(),
        "key_boxes": sum(int(truth.drawn.sum()) for truth in truths),
        "interpolated_boxes": sum(int((~truth.drawn).sum()) for truth in truths),
        "labels": {label: numbers[k] for k, label in enumerate(labels, start=1)},
    }
    videos = sorted({truth.video for truth in truths})
    return {
        "name": "synthetic",
        "labels": list(labels),
        "split": {
            **{"strategy": "video", "val_share": 0.2, "guard_seconds": 3.0, "seed": 0},
            **{"train_frames": len(truths), "val_frames": len(truths)},
            **{"train_sources": ["other.mp4"], "val_sources": videos},
        },
        "counts": {"train": counts, "val": counts},
        "boxes": {key: {} for key in ("width", "height", "area", "aspect", "boxes_per_image")},
        "sources": [
            {
                **{"name": name, "kind": "video", "frames": frames, "fps": _FPS},
                **{"train": [], "val": [[0, frames - 1]]},
                **{"train_examples": 0, "val_examples": frames},
            }
            for name in videos
        ],
    }


def evaluate_side(side: Side, folder: Path) -> dict[str, float]:
    """Write metrics.json and report.html of a side into a folder; seconds of the processor."""
    started = time.process_time()
    rates = frame_rates(side.statistics)
    measurement = measure(side.truths, side.detections, side.labels, rates)
    measured = time.process_time()
    analysis = measurement.analysis
    verdict = judge(
        Gate(),
        ap50=measurement.coco.ap50,
        recall=analysis.recall,
        false_positives_per_background_image=analysis.false_positives_per_background_image,
        truth=measurement.truth,
    )
    document = describe(
        side.labels,
        side.statistics["split"],
        measurement,
        None,
        0.0,
        Gate(),
        verdict,
        by_video(side.truths, measurement, rates),
    )
    select(side.truths, side.detections, analysis, 0, measurement.labels_to_check)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n")
    shots: dict[str, list[Any]] = {
        name: [] for name in ("false_positives", "misses", "typical", "labels_to_check")
    }
    origin = Origin("synthetic", "kfdet run synthetic -o RUN", datetime(2030, 1, 1, tzinfo=UTC), "")
    html = render_report(document, analysis, side.statistics, {}, {}, shots, [], None, origin)
    (folder / "report.html").write_text(html)
    return {"measure": measured - started, "write": time.process_time() - measured}


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--detections", type=int, default=100, help="on each picture")
    parser.add_argument("--frames", type=int, default=100, help="of each video")
    parser.add_argument("--output", type=Path, help="folder for metrics.json and report.html")
    arguments = parser.parse_args()
    for pictures in arguments.pictures:
        size = (pictures, arguments.labels, arguments.detections, arguments.frames)
        process = multiprocessing.get_context("spawn").Process(
            target=_measure, args=(size, arguments.output)
        )
        process.start()
        process.join()


def _measure(size: tuple[int, int, int, int], output: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary)
        side = synthetic_side(*size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = evaluate_side(side, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        names = ("metrics.json", "report.html")
        files = ", ".join(f"{name} {(folder / name).stat().st_size / 1e6:.1f} MB" for name in names)
    times = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(
        f"{len(side.truths):,} pictures: {times}; peak {peak / 2**20:.2f} GiB, of which "
        f"{before / 2**20:.2f} before; {files}",
        flush=True,
    )


if __name__ == "__main__":
    main()
