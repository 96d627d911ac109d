"""TFRecord build beside Datumaro's `tf_detection_api` export of the same frames.

    python -m benchmarks.tfrecord [--data FOLDER]

The frames are those of the sample dataset, and of `pets` where FOLDER has it: every one of them,
extracted once before the clock runs.
Ours is the whole stage: reading tables and shards, choosing examples, records, label map,
statistics and sample pictures. Datumaro gets the same JPEGs, boxes and labels in two ways: as
files, which is how its users come to an export (it decodes and encodes them again), and as bytes
that are in memory already with their sizes given, its quickest way: it copies them. That row has no
floor: it reads nothing, and what is left (hashing and writing the bytes) is the same on both sides.
Importing TensorFlow, which Datumaro needs and the stage does not, is not counted. Both write where
they can write fastest.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.table import Row, print_table
from kfdet.demo.sample import make_sample
from kfdet.parameters import (
    BoxSettings,
    FrameSettings,
    NegativeSettings,
    SamplingSettings,
    SplitSettings,
)
from kfdet.planning.plan import read_plan
from kfdet.records.examples import FrameBoxes
from kfdet.records.tfrecord import read_records
from kfdet.stages.frame_extraction import extract_group
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.negative_mining import mine_negatives
from kfdet.stages.planning import plan_dataset
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.video.shards import FrameStore

FLOOR = 3.0
ROUNDS = 3


def prepare(dataset: str, root: Path) -> dict[str, object]:
    """Prepare everything that the stage reads."""
    plan = root / "plan"
    planned = plan_dataset(dataset, plan, SamplingSettings(), SplitSettings(), seed=0)
    groups = [group["index"] for group in planned]
    boxes = [root / f"boxes{group}" for group in groups]
    frames = [root / f"frames{group}" for group in groups]
    for group in groups:
        interpolate_group(dataset, plan, group, boxes[group], BoxSettings("linear"))
        extract_group(
            dataset, plan, group, frames[group], SamplingSettings(every=1), FrameSettings()
        )
    mine_negatives(plan, boxes, frames, root / "negatives", NegativeSettings(), seed=0)
    return {
        "dataset": dataset,
        "plan_dir": plan,
        "boxes": boxes,
        "frames": frames,
        "negatives": root / "negatives",
    }


def _ours(inputs: dict[str, object], folder: Path) -> None:
    outputs = {"records": folder / "records", "all_boxes": folder / "boxes"}
    build_tfrecords(**inputs, **outputs, seed=0)  # type: ignore[arg-type]


def _datumaro(inputs: dict[str, object], files: Path | None) -> Callable[[Path], None]:
    """Let Datumaro export the frames that our stage chose, from `files` or from memory."""
    from datumaro import Bbox, Dataset, DatasetItem
    from datumaro.components.media import Image

    plan = read_plan(Path(str(inputs["plan_dir"])))
    tables = [pq.read_table(path) for path in inputs["boxes"]]  # type: ignore[attr-defined]
    boxes = FrameBoxes(pa.concat_tables(tables), plan)
    store = FrameStore([Path(path) for path in inputs["frames"]])  # type: ignore[attr-defined]
    whole = pc.field("kind") != "crop"
    chosen = pq.read_table(Path(str(inputs["examples"])), filters=whole).to_pylist()
    items = []
    for row in chosen:
        name = f"{row['split']}-{row['source_id']}"
        jpeg = store.read(row["video"], row["frame"])
        if files is None:
            media = Image.from_bytes(data=jpeg, ext=".jpg", size=(row["height"], row["width"]))
        else:
            (files / f"{name}.jpg").write_bytes(jpeg)
            media = Image.from_file(path=str(files / f"{name}.jpg"))
        of = boxes.of(row["video"], row["frame"])
        annotations = [
            Bbox(x, y, right - x, bottom - y, label=int(label) - 1, id=number, group=number)
            for number, ((x, y, right, bottom), label) in enumerate(
                zip(boxes.corners[of], boxes.class_ids[of], strict=True), 1
            )
        ]
        items.append(DatasetItem(name, subset=row["split"], media=media, annotations=annotations))
    dataset = Dataset.from_iterable(items, categories=list(plan.labels))

    def export(folder: Path) -> None:
        dataset.export(str(folder / "datumaro"), "tf_detection_api", save_media=True)

    return export


def _memory() -> str | None:
    return "/dev/shm" if shutil.disk_usage("/dev/shm").free > 1 << 30 else None  # noqa: S108


def _race(name: str, dataset: str, root: Path, rounds: int) -> list[Row]:
    """Measure the examples per second of all sides: the best of some rounds in turn."""
    inputs = prepare(dataset, root)
    _ours(inputs, root / "first")
    known = {**inputs, "examples": str(root / "first" / "records" / "examples.parquet")}
    (root / "files").mkdir()
    sides: dict[str, Callable[[Path], None]] = {
        "kfdet": lambda folder: _ours(inputs, folder),
        "files": _datumaro(known, root / "files"),
        "memory": _datumaro(known, None),
    }
    best = dict.fromkeys(sides, 0.0)
    for _ in range(rounds):
        for side, run in sides.items():
            with tempfile.TemporaryDirectory(dir=root) as folder:
                started = time.perf_counter()
                run(Path(folder))
                seconds = time.perf_counter() - started
                records = (r for f in Path(folder).rglob("*.tfrecord") for r in read_records(f))
                best[side] = max(best[side], sum(1 for _ in records) / seconds)
    ours = best["kfdet"]
    return [
        Row(
            f"{name}: TFRecords / Datumaro from {where}",
            ours,
            best[side],
            "examples/s",
            ours / best[side],
            floor,
        )
        for side, where, floor in (("files", "files", FLOOR), ("memory", "memory", 0.0))
    ]


def measure(data: Path | None = None, rounds: int = ROUNDS) -> list[Row]:
    """Compare the sides on the sample dataset, and on the real one where `data` has it.

    Args:
        data: Folder of real data with `pets`.
        rounds: Turns of each side; the best counts.
    """
    logging.getLogger("datumaro").setLevel(logging.ERROR)
    rows = []
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as scratch,
        open(os.devnull, "w", encoding="utf-8") as quiet,
        contextlib.redirect_stderr(quiet),
    ):
        make_sample(Path(scratch) / "data")
        datasets = {"sample": Path(scratch) / "data"}
        if data and (data / "pets").is_dir():
            datasets["pets"] = data / "pets"
        for name, dataset in datasets.items():
            (Path(scratch) / name).mkdir()
            rows += _race(name, str(dataset), Path(scratch) / name, rounds)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="folder of real data with pets/")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    print_table(measure(arguments.data, arguments.rounds))


if __name__ == "__main__":
    main()
