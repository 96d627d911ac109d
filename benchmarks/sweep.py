"""Is the winner of a sweep at least as good as the default settings, on videos that nothing saw?

    python -m benchmarks.sweep --data FOLDER [--steps N]

Four settings, the default one among them, are trained on three datasets with a test side: the
sample, `raccoon` (photos), and `pets` cut into five films. The winner is chosen on the validation
side; it and the default are compared on the test side.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa

import kfdet
from benchmarks.label_economy import LABEL, key_boxes, read_truth, video_of
from benchmarks.table import Row, print_table
from benchmarks.trained import load_trained
from kfdet.dataset.formats.cvat_video import write
from kfdet.dataset.formats.model import AnnotatedItem, Item
from kfdet.demo.sample import make_sample
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import measure
from kfdet.evaluation.model_run import run_model
from kfdet.local.folder import ARTIFACTS
from kfdet.local.results import own_records
from kfdet.records.reading import Records
from kfdet.storage.shards import open_records
from kfdet.training.history import HISTORY_FILE, read_history

DEFAULT = {"learning_rate": 0.008, "colour": 1.0}
GRID = {"learning_rate": [0.004, 0.008], "colour": [0.5, 1.0]}
FILMS = 5


def main() -> None:
    """Sweep each dataset and print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with pets/ and raccoon/")
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0: fitted")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make_sample(root / "sample")
        cut(given.data / "pets", root / "pets", FILMS)
        datasets = {
            root / "sample": "videos/garden*",
            given.data / "raccoon": "raccoon-1[0-3]*",
            root / "pets": f"film-{FILMS}*",
        }
        rows = []
        for dataset, test in datasets.items():
            rows.append(compare(dataset, root / f"{dataset.name}-sweep", test, given.steps))
            print_table(rows[-1:])
    print_table(rows)


def cut(folder: Path, target: Path, count: int) -> None:
    """Cut the video into films of one length, each with a key frame every 10 frames."""
    truth, source = read_truth(folder), cv2.VideoCapture(str(video_of(folder)))
    fps = source.get(cv2.CAP_PROP_FPS)
    length = int(source.get(cv2.CAP_PROP_FRAME_COUNT)) // count
    size = (
        int(source.get(cv2.CAP_PROP_FRAME_WIDTH)),
        int(source.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
    (target / "videos").mkdir(parents=True)
    (target / "annotations").mkdir()
    for number in range(count):
        path = target / f"videos/film-{number + 1}.avi"
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
        for _ in range(length):
            film.write(source.read()[1])
        film.release()
        first = number * length
        own = {
            (track, frame - first): box
            for (track, frame), box in truth.items()
            if first <= frame < first + length
        }
        item = Item(
            path.name, path, "video", *size, length, fps,
            annotation="annotations.xml", stop=length - 1, keys=key_boxes(own, 10, length),
        )  # fmt: skip
        annotation = target / f"annotations/film-{number + 1}.xml"
        write([AnnotatedItem(item, pa.table({}))], [LABEL], annotation, key_frames=True)


def compare(dataset: Path, folder: Path, test: str, steps: int) -> Row:
    """Sweep a dataset and measure the winner and the default on its test side."""
    options: dict[str, Any] = {"steps": steps} if steps else {}
    kfdet.sweep(dataset, folder, GRID, test=test, pretrained="none", early_stop=0, **options)
    chosen = json.loads((folder / "sweep.json").read_text())["chosen"]
    records = open_records(own_records(folder))
    trained = {
        tuple(parameters[name] for name in GRID): path.parent
        for path in (folder / ARTIFACTS).rglob(f"model/{HISTORY_FILE}")
        if (parameters := read_history(path.parent).parameters)
    }
    ours, theirs = (
        _ap50(trained[tuple(settings[name] for name in GRID)], records)
        for settings in (chosen, DEFAULT)
    )
    name = ", ".join(f"{name} {chosen[name]:g}" for name in GRID)
    return Row(f"{dataset.name}: {name}, default", ours, theirs, "AP50", ours / theirs, 1.0)


def _ap50(model: Path, records: Records) -> float:
    detector, _ = load_trained(model, records.labels)
    run = run_model(records, detector, "test", timed=False)
    rates = frame_rates(records.description)
    found = measure(run.truths, run.detections, records.labels, rates)
    return found.coco.ap50 or 0.0


if __name__ == "__main__":
    main()
