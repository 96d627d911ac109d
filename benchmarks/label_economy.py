"""How good boxes between key frames are, and detectors that train on them, against dense truth.

    python -m benchmarks.label_economy boxes FOLDER
    python -m benchmarks.label_economy dataset FOLDER OUT --every 30
    python -m benchmarks.label_economy run FOLDER RUN

FOLDER holds a video and groundtruth_mot.txt, the true boxes of every frame in the MOT format.
`boxes` measures each way of interpolation with a key frame every 10, 20, 30 and 50 frames;
`dataset` writes a dataset with a key frame every so many frames of each track, for `kfdet run`;
`run` measures a finished run on its own validation frames, with the true boxes of all of them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.table import Row, print_table
from kfdet.boxes.interpolation import Task
from kfdet.boxes.tables import UNTRACKED, Boxes, iou_matrix
from kfdet.dataset.formats.cvat_video import write
from kfdet.dataset.formats.model import AnnotatedItem, Item, KeyBox, key_table
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.model_run import load_detector, run_model
from kfdet.local.results import own_records
from kfdet.motion.interpolation import interpolate_videos
from kfdet.parameters import Interpolation
from kfdet.storage.shards import open_records
from kfdet.video.probe import probe

TRUTH = "groundtruth_mot.txt"
LABEL = "person"
FLOORS = {10: 0.93, 20: 0.88, 30: 0.84, 50: 0.79}
METHODS: tuple[Interpolation, ...] = ("linear", "cubic", "tracked", "auto")

Truth = dict[tuple[int, int], Boxes]
"""(4,) xmin, ymin, xmax, ymax by track and 0-based frame; one track per visible stretch."""


def read_truth(folder: Path) -> Truth:
    """Read the true boxes; a person who comes back is a new track."""
    rows = np.loadtxt(folder / TRUTH, delimiter=",")
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    begins = np.append(True, (np.diff(rows[:, 1]) != 0) | (np.diff(rows[:, 0]) != 1))
    boxes = np.column_stack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
    places = zip(np.cumsum(begins).tolist(), (rows[:, 0].astype(int) - 1).tolist(), strict=True)
    return dict(zip(places, boxes, strict=True))


def boxes_by_frame(folder: Path) -> dict[int, list[Boxes]]:
    """Return the true boxes of each frame."""
    found: dict[int, list[Boxes]] = {}
    for (_, frame), box in read_truth(folder).items():
        found.setdefault(frame, []).append(box)
    return found


def key_boxes(truth: Truth, every: int, frames: int) -> list[KeyBox]:
    """Draw every `every`th box of each track and its last one, and mark where it is gone."""
    keys = []
    first = dict(reversed(truth))
    for (track, frame), box in truth.items():
        last = (track, frame + 1) not in truth
        left, top, right, bottom = box.tolist()
        if last or (frame - first[track]) % every == 0:
            keys.append(KeyBox(track, LABEL, frame, left, top, right, bottom))
        if last and frame + 1 < frames:
            keys.append(KeyBox(track, LABEL, frame + 1, left, top, right, bottom, outside=True))
    return keys


def overlaps(boxes: pa.Table, truth: Truth) -> list[float]:
    """IoU of each box between key frames with the true one."""
    between = boxes.filter(pc.invert(boxes["keyframe"]))
    sides = np.column_stack([between[side].to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")])
    places = zip(between["track_id"].to_pylist(), between["frame"].to_pylist(), strict=True)
    return [
        float(iou_matrix(box[None], truth[place][None])[0, 0])
        for place, box in zip(places, sides, strict=True)
    ]


def measure_boxes(folder: Path) -> list[Row]:
    """Return mean overlap and time of every method."""
    truth, video = read_truth(folder), video_of(folder)
    frames = probe(video).frames
    tasks: dict[str, Task] = {video.name: (0, frames - 1, 1)}
    rows = []
    for every, floor in FLOORS.items():
        keys = key_table([(video.name, key_boxes(truth, every, frames))])
        linear = 0.0
        for method in METHODS:
            started = time.process_time()
            boxes = interpolate_videos(keys, tasks, {video.name: video}, method)
            seconds = time.process_time() - started
            found = overlaps(boxes, truth)
            mean = float(np.mean(found))
            linear = linear or mean
            name = f"every {every}, {method}: {np.mean(np.array(found) >= 0.5):.1%} at IoU 0.5"
            name += f", {seconds / len(found) * 1e3:.2f} ms/box"
            least = floor if method in ("tracked", "auto") else 0.0
            rows.append(Row(name, mean, linear, "mean IoU, theirs linear", mean, least))
    return rows


def video_of(folder: Path) -> Path:
    """Return the video of the folder."""
    (video,) = folder.glob("*.avi")
    return video


def write_dataset(folder: Path, target: Path, every: int) -> None:
    """Write the video (a link) and its key frames as CVAT for video 1.1."""
    truth, video = read_truth(folder), video_of(folder)
    info = probe(video)
    keys = key_boxes(truth, every, info.frames)
    item = Item(
        video.name, video, "video", info.width, info.height, info.frames, info.fps,
        annotation="annotations.xml", stop=info.frames - 1, keys=keys,
    )  # fmt: skip
    target.mkdir(parents=True)
    (target / video.name).symlink_to(video.resolve())
    write([AnnotatedItem(item, pa.table({}))], [LABEL], target / "annotations.xml", key_frames=True)
    drawn = sum(not key.outside for key in keys)
    print(f"{drawn} of {len(truth)} boxes are drawn")


def measure_run(folder: Path, run: Path) -> list[Row]:
    """Return AP50 and AP of a run's model on its validation frames, with their true boxes."""
    by_frame = boxes_by_frame(folder)
    with open_records(own_records(run)) as records:
        labels = records.labels
        answers = run_model(records, load_detector(run / "model", labels))
    truths, detections = [], []
    for truth, found in zip(answers.truths, answers.detections, strict=True):
        if truth.kind != "crop":
            truths.append(with_boxes(truth, by_frame.get(truth.frame, [])))
            detections.append(found)
    coco, _ = evaluate_coco(truths, detections, labels)
    name = f"{run.name}, {len(truths)} frames"
    return [
        Row(f"{name}: {what}", value or 0.0, 0.0, "", value or 0.0, floor)
        for what, value, floor in (
            ("AP50", coco.ap50, 0.90),
            ("AP", coco.ap, 0.45),
            ("AP75", coco.ap75, 0.0),
        )
    ]


def with_boxes(truth: GroundTruth, boxes: list[Boxes]) -> GroundTruth:
    """Return the picture with these boxes, all of them drawn."""
    count = len(boxes)
    return replace(
        truth,
        boxes=np.array(boxes).reshape(-1, 4),
        classes=np.ones(count, np.int64),
        crowd=np.zeros(count, bool),
        difficult=np.zeros(count, bool),
        drawn=np.ones(count, bool),
        tracks=np.full(count, UNTRACKED),
        keys=np.full((count, 2), truth.frame),
        hulls=np.array(boxes).reshape(-1, 4),
        measured=True,
    )


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["boxes", "dataset", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path, nargs="?", help="OUT or RUN")
    parser.add_argument("--every", type=int, default=30)
    given = parser.parse_args()
    if given.what == "boxes":
        print_table(measure_boxes(given.folder))
    elif given.what == "dataset":
        write_dataset(given.folder, given.target, given.every)
    else:
        print_table(measure_run(given.folder, given.target))


if __name__ == "__main__":
    main()
