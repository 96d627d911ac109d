"""How few key boxes a run's own model leaves a person to correct, and how good they are.

    python -m benchmarks.pre_annotation FOLDER RUN

FOLDER holds a video and groundtruth_mot.txt, the true boxes of every frame. What
`kfdet detect --to cvat-video` writes is compared with the smoothed tracks that it stands for, and
both the detections and the interpolated boxes with the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.label_economy import boxes_by_frame, video_of
from benchmarks.table import Row, print_table
from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.tables import UNTRACKED, Boxes, iou_matrix, iou_pairs
from kfdet.dataset.formats.model import Item, key_table
from kfdet.detection import Detector
from kfdet.detection.key_frames import key_boxes, smoothed_tracks
from kfdet.detection.sinks.tables import rows
from kfdet.detection.tracking import Tracker
from kfdet.video.probe import probe

MOST_KEYS = 0.12
LEAST_HELD = 0.95
OVERLAP = 0.85


def measure(folder: Path, run: Path) -> list[Row]:
    """Return the share of key boxes, how many boxes they hold, and the overlap with the truth."""
    video = video_of(folder)
    info = probe(video)
    last = info.frames - 1
    item = Item(
        video.name, video, "video", info.width, info.height, info.frames, info.fps, stop=last
    )
    track = Tracker()
    with Detector.load(run) as detector:
        found = [row for frame in detector.stream(video) for row in rows(track(frame))]
    found = [row for row in found if row["track_id"] != UNTRACKED]
    tracks = {
        (number, frame): box
        for number, _, frames, corners in smoothed_tracks(found, item)
        for frame, box in zip(frames.tolist(), corners, strict=True)
    }
    keys = key_boxes(found, item)
    table = interpolate(key_table([(video.name, keys)]), {video.name: (0, last, 1)})
    sides = np.column_stack([table[side].to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")])
    places = list(zip(table["track_id"].to_pylist(), table["frame"].to_pylist(), strict=True))
    held = iou_pairs(sides, np.array([tracks[place] for place in places])) >= OVERLAP
    drawn = sum(not key.outside for key in keys) / len(places)
    truth = boxes_by_frame(folder)
    detected = np.array([[row[side] for side in ("xmin", "ymin", "xmax", "ymax")] for row in found])
    of_detections = _overlap(truth, [row["frame"] for row in found], detected)
    of_keys = _overlap(truth, [frame for _, frame in places], sides)
    ends = sum(key.outside for key in keys) / len(places)
    return [
        Row(
            f"{len(places)} boxes: keys ({ends:.1%} outside)",
            drawn,
            MOST_KEYS,
            "of the boxes",
            MOST_KEYS / drawn,
            1.0,
        ),
        Row(
            f"boxes held at IoU {OVERLAP}",
            held.mean(),
            0.0,
            "of the boxes",
            held.mean(),
            LEAST_HELD,
        ),
        Row(
            "true overlap of written boxes / of detections",
            of_keys,
            of_detections,
            "mean IoU",
            of_keys / of_detections,
            1.0,
        ),
    ]


def _overlap(truth: dict[int, list[Boxes]], frames: Iterable[int], boxes: Boxes) -> float:
    """Mean overlap of boxes with the nearest true box of their frame."""
    pairs = zip(frames, boxes, strict=True)
    nearest = [
        iou_matrix(box[None], np.array(truth[frame])).max() if frame in truth else 0.0
        for frame, box in pairs
    ]
    return float(np.mean(nearest))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    print_table(measure(given.folder, given.run))


if __name__ == "__main__":
    main()
