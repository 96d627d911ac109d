"""Is the winner of a sweep at least as good as the setting in use, on videos that nothing saw?

    python -m benchmarks.sweep --data FOLDER [--steps N]

Four settings, the default one first, are trained on three datasets with a test side: the sample,
`raccoon` (photos), and `pets` cut into five films. The winner is chosen on the validation side; it
and the first one are compared on the test side, in `pets` against the true boxes of all frames.
Then the same on `pets` with a first setting that is too slow to learn, which should not stay.
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
from benchmarks.label_economy import (
    LABEL,
    boxes_by_frame,
    key_boxes,
    read_truth,
    video_of,
    with_boxes,
)
from benchmarks.table import Row, print_table
from benchmarks.trained import load_trained
from kfdet.boxes.tables import Boxes
from kfdet.dataset.formats.cvat_video import write
from kfdet.dataset.formats.model import AnnotatedItem, Item
from kfdet.demo.sample import make_sample
from kfdet.evaluation.comparison import compare
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.model_run import run_model
from kfdet.local.folder import ARTIFACTS
from kfdet.local.results import own_records
from kfdet.records.reading import Records
from kfdet.storage.shards import open_records
from kfdet.training.history import HISTORY_FILE, read_history

Grid = dict[str, list[Any]]

GRID: Grid = {
    "network": ["ssd_mobilenet_v3_small_fpnlite", "ssd_mobilenet_v2_fpnlite"],
    "learning_rate": [0.008, 0.004],
}
WEAK_FIRST: Grid = {"learning_rate": [0.0002, 0.008]}
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
        pets = (root / "pets", f"film-{FILMS}*", last_film(given.data / "pets"))
        sweeps = [
            (root / "sample", "videos/garden*", None, GRID),
            (given.data / "raccoon", "raccoon-1[0-3]*", None, GRID),
            (*pets, GRID),
            (*pets, WEAK_FIRST),
        ]
        rows = []
        for number, (dataset, test, truth, grid) in enumerate(sweeps):
            rows.append(sweep(dataset, root / f"sweep-{number}", test, truth, grid, given.steps))
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


def last_film(folder: Path) -> dict[int, list[Boxes]]:
    """Return the true boxes of each frame of the last of the films."""
    length = int(cv2.VideoCapture(str(video_of(folder))).get(cv2.CAP_PROP_FRAME_COUNT)) // FILMS
    first = length * (FILMS - 1)
    boxes = boxes_by_frame(folder)
    return {frame: boxes.get(first + frame, []) for frame in range(length)}


def sweep(
    dataset: Path,
    folder: Path,
    test: str,
    truth: dict[int, list[Boxes]] | None,
    grid: Grid,
    steps: int,
) -> Row:
    """Sweep a dataset and measure the winner and the first setting on its test side."""
    options: dict[str, Any] = {"steps": steps} if steps else {}
    kfdet.sweep(dataset, folder, grid, test=test, pretrained="none", early_stop=0, **options)
    document = json.loads((folder / "sweep.json").read_text())
    print(document["reason"])
    records = open_records(own_records(folder))
    trained = {
        tuple(parameters[name] for name in grid): path.parent
        for path in (folder / ARTIFACTS).rglob(f"model/{HISTORY_FILE}")
        if (parameters := read_history(path.parent).parameters)
    }
    chosen, first = document["chosen"], {name: values[0] for name, values in grid.items()}
    ours, theirs = (
        tested(trained[tuple(settings[name] for name in grid)], records, truth)
        for settings in (chosen, first)
    )
    print(compare(ours, theirs, records.labels, None, None, against="the first one", seed=0))
    name = ", ".join(f"{name} {value}" for name, value in chosen.items())
    ap50, other = (each.coco.ap50 or 0.0 for each in (ours, theirs))
    return Row(f"{dataset.name}: {name}; the first one", ap50, other, "AP50", ap50 / other, 1.0)


def tested(model: Path, records: Records, truth: dict[int, list[Boxes]] | None) -> Measurement:
    """Measure a model on the test side, with other boxes for its frames where `truth` has them."""
    detector, _ = load_trained(model, records.labels)
    run = run_model(records, detector, "test", timed=False)
    truths = [with_boxes(each, truth[each.frame]) for each in run.truths] if truth else run.truths
    rates = frame_rates(records.description)
    return measure(truths, run.detections, records.labels, rates, side="test")


if __name__ == "__main__":
    main()
