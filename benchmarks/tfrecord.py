"""TFRecord build beside Datumaro's `tf_detection_api` export of the same frames.

    python -m benchmarks.tfrecord [--data FOLDER]

The frames are those of the sample dataset, and of `pets` where FOLDER has it: every one of them,
extracted once before the clock runs.
Ours is all that becomes of extracted frames: choosing examples, records in shards, tables, label
map, statistics and sample pictures. Datumaro gets the same JPEGs, boxes and labels in two ways: as
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.table import Row, print_table
from kfdet.demo.sample import make_sample
from kfdet.parameters import BoxSettings, FrameSettings, SamplingSettings, SplitSettings
from kfdet.planning.coverage import covered_ranges
from kfdet.planning.plan import Source, read_key_frames, read_plan
from kfdet.planning.sampling import select_frames
from kfdet.records.examples import Choice, choose_examples
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.group import GroupWriter
from kfdet.records.tfrecord import read_records
from kfdet.stages.frame_extraction import extract_group
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.negative_mining import mine_negatives
from kfdet.stages.planning import plan_dataset
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.video.extraction import EncodedFrame, extract
from kfdet.video.images import read_image

FLOOR = 3.0
ROUNDS = 3
EVERY_FRAME = SamplingSettings(every=1)


@dataclass(frozen=True, slots=True)
class Group:
    """What the stages before extraction leave of one group, as files."""

    number: int
    sources: Sequence[Source]
    boxes: Path
    negatives: Path


def plan_groups(dataset: str, plan: Path) -> list[Group]:
    """Run the stages before frame extraction; their files go beside the new folder `plan`."""
    planned = plan_dataset(dataset, plan, EVERY_FRAME, SplitSettings(), seed=0)
    groups = []
    for number in (group["index"] for group in planned):
        boxes, negatives = plan.parent / f"boxes{number}", plan.parent / f"negatives{number}"
        interpolate_group(dataset, plan, number, boxes, BoxSettings("linear"))
        mine_negatives(plan, number, boxes, negatives, EVERY_FRAME, seed=0)
        groups.append(Group(number, read_plan(plan).group(number), boxes, negatives))
    return groups


def prepare(dataset: str, root: Path) -> dict[str, object]:
    """Prepare everything that the TFRecord build reads."""
    plan = root / "plan"
    indexes = []
    for group in plan_groups(dataset, plan):
        shards, index = root / f"shards{group.number}", root / f"index{group.number}"
        tables = (group.boxes, group.negatives, shards, index)
        extract_group(dataset, plan, group.number, *tables, EVERY_FRAME, FrameSettings())
        indexes.append(index)
    return {"dataset": dataset, "plan_dir": plan, "indexes": indexes}


class Extracted:
    """Every example of a dataset, with its frame in memory."""

    def __init__(self, dataset: str, root: Path) -> None:
        self.dataset, self.plan_dir = dataset, root / "plan"
        self.groups = plan_groups(dataset, self.plan_dir)
        plan = read_plan(self.plan_dir)
        self.labels = plan.labels
        self.keys = read_key_frames(self.plan_dir, plan.sources)
        self.frames: dict[str, dict[int, EncodedFrame]] = {}
        for group in self.groups:
            _, choices = self.choose(group)
            for source in group.sources:
                path = Path(dataset) / source.name
                wanted = [choice.frame for choice in choices[source.name]]
                found = extract(path, wanted) if source.kind == "video" else [read_image(path)]
                self.frames[source.name] = {frame.frame: frame for frame in found}

    def choose(self, group: Group) -> tuple[FrameBoxes, dict[str, list[Choice]]]:
        """The boxes of a group, and the examples of each of its sources."""
        boxes = FrameBoxes(pq.read_table(group.boxes), group.sources, self.labels)
        negatives = pq.read_table(group.negatives).to_pylist()
        choices = {}
        for source in group.sources:
            keys = self.keys.get(source.name, np.zeros(0, np.int64))
            choices[source.name] = choose_examples(
                source,
                select_frames(source, keys, EVERY_FRAME.frame_rate, EVERY_FRAME.every),
                boxes,
                [row for row in negatives if row["video"] == source.name],
                covered_ranges(source, keys.tolist()),
            )
        return boxes, choices

    def write(self, folder: Path) -> None:
        """Write the records: what the stages do once they have the frames."""
        indexes = []
        for group in self.groups:
            boxes, choices = self.choose(group)
            shards, index = folder / f"shards{group.number}", folder / f"index{group.number}"
            shards.mkdir()
            index.mkdir()
            with GroupWriter(shards, index, group.number, f"../{shards.name}") as writer:
                for source in group.sources:
                    for choice in choices[source.name]:
                        picture = self.frames[source.name][choice.frame]
                        writer.add(source, choice, picture, boxes)
                writer.write_boxes(pq.read_table(group.boxes))
            indexes.append(index)
        records, all_boxes = folder / "records", folder / "boxes"
        build_tfrecords(self.dataset, self.plan_dir, indexes, records, all_boxes)


def _datumaro(ours: Extracted, files: Path | None) -> Callable[[Path], None]:
    """Let Datumaro export the frames that we chose, from `files` or from memory."""
    from datumaro import Bbox, Dataset, DatasetItem
    from datumaro.components.media import Image

    def item(choice: Choice, frame: EncodedFrame, boxes: FrameBoxes, of: slice) -> DatasetItem:
        name = f"{choice.split}-{choice.source_id}"
        if files is None:
            size = (frame.height, frame.width)
            media = Image.from_bytes(data=frame.jpeg, ext=".jpg", size=size)
        else:
            (files / f"{name}.jpg").write_bytes(frame.jpeg)
            media = Image.from_file(path=str(files / f"{name}.jpg"))
        annotations = [
            Bbox(x, y, right - x, bottom - y, label=int(label) - 1, id=number, group=number)
            for number, ((x, y, right, bottom), label) in enumerate(
                zip(boxes.corners[of], boxes.class_ids[of], strict=True), 1
            )
        ]
        return DatasetItem(name, subset=choice.split, media=media, annotations=annotations)

    items = []
    for group in ours.groups:
        boxes, choices = ours.choose(group)
        for video, chosen in choices.items():
            items += [
                item(choice, ours.frames[video][choice.frame], boxes, boxes.of(video, choice.frame))
                for choice in chosen
                if choice.kind != "crop"
            ]
    dataset = Dataset.from_iterable(items, categories=list(ours.labels))

    def export(folder: Path) -> None:
        dataset.export(str(folder / "datumaro"), "tf_detection_api", save_media=True)

    return export


def _memory() -> str | None:
    return "/dev/shm" if shutil.disk_usage("/dev/shm").free > 1 << 30 else None  # noqa: S108


def _race(name: str, dataset: str, root: Path, rounds: int) -> list[Row]:
    """Measure the examples per second of all sides: the best of some rounds in turn."""
    extracted = Extracted(dataset, root)
    (root / "files").mkdir()
    sides: dict[str, Callable[[Path], None]] = {
        "kfdet": extracted.write,
        "files": _datumaro(extracted, root / "files"),
        "memory": _datumaro(extracted, None),
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
