"""Measured on few key frames against measured on all boxes: does evaluation say the same?

    python -m benchmarks.truth --data FOLDER [--models MODEL...]

From the boxes on every frame of `pets` key frames are taken, every Nth frame, at the same time for
all tracks or staggered. A detector that answers with the true boxes must be called perfect, and a
box that it invents on each frame must cost as much precision as it does on all boxes. Models are
compared on the frames that a run keeps for evaluation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.table import Row, print_table
from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA, Boxes
from kfdet.detection import Detections, Detector
from kfdet.detection.pictures import Picture
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.planning.plan import Source
from kfdet.records.frame_boxes import FrameBoxes
from kfdet.records.truth import Objects, measured_frames

EVERY = (10, 15, 20, 30, 50)
LABEL = "person"
VIDEO, FRAMES, SIZE, FPS = "vtest.avi", 795, (768, 576), 10.0
EVALUATION = range(636, FRAMES)
"""Frames that `kfdet run pets` keeps for evaluation."""

ALIGNED_FLOOR, STAGGERED_FLOOR = 0.99, 0.95
PRECISION_TOLERANCE, AP50_TOLERANCE = 0.05, 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """All true boxes of a film, clipped: track, frame and corners of N boxes."""

    tracks: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    boxes: Boxes

    @classmethod
    def read(cls, path: Path) -> Film:
        """Read MOT's text format."""
        rows = np.loadtxt(path, delimiter=",")
        corners = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
        return cls(
            rows[:, 1].astype(int), rows[:, 0].astype(int) - 1, np.clip(corners, 0, SIZE * 2)
        )

    def keys(self, every: int, *, staggered: bool) -> pa.Table:
        """Key boxes every Nth frame and at the ends of each track."""
        rows: list[dict[str, object]] = []
        names = np.unique(self.tracks).tolist()
        for number, track in enumerate(names):
            own = np.flatnonzero(self.tracks == track)
            own = own[np.argsort(self.frames[own])]
            offset = number * every // len(names) if staggered else 0
            is_key = (self.frames[own] - offset) % every == 0
            is_key[[0, -1]] = True
            rows += [self._key(track, int(self.frames[i]), i) for i in own[is_key]]
            end = int(self.frames[own[-1]]) + 1
            if end < FRAMES:
                rows.append(self._key(track, end, own[-1]) | {"outside": True})
        return pa.Table.from_pylist(rows, KEY_SCHEMA)

    def _key(self, track: int, frame: int, row: int) -> dict[str, object]:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), self.boxes[row].tolist(), strict=True)
        flags = dict.fromkeys(("outside", "occluded", "difficult", "crowd"), False)
        place = {"video": VIDEO, "track_id": track, "label": LABEL, "frame": frame}
        return place | dict(sides) | flags | {"rotation": 0.0, "line": 0}

    def all_boxes(self) -> pa.Table:
        """Every box as if a person had drawn it."""
        rows = [
            self._key(int(track), int(frame), i) | {"keyframe": True, "method": "key"}
            for i, (track, frame) in enumerate(zip(self.tracks, self.frames, strict=True))
        ]
        return pa.Table.from_pylist(rows, BOX_SCHEMA)


def truths_of(table: pa.Table, frames: Sequence[int]) -> list[GroundTruth]:
    """The ground truth of some frames, as evaluation reads it from the records of `table`."""
    source = Source(VIDEO, "video", "a.xml", *SIZE, FRAMES, FPS, 0, FRAMES - 1, 1)
    boxes = FrameBoxes(table, [source], [LABEL])
    rows = {(VIDEO, frame): boxes.objects(VIDEO, frame) for frame in frames}
    measured = measured_frames(
        {place: Objects(boxes.class_ids[r], boxes.drawn[r]) for place, r in rows.items()}
    )
    return [
        GroundTruth(
            source_id=place[1] + 1,
            video=VIDEO,
            frame=place[1],
            kind="frame",
            stored=SIZE,
            window=(0.0, 0.0, float(SIZE[0]), float(SIZE[1])),
            boxes=boxes.corners[r],
            classes=boxes.class_ids[r],
            crowd=boxes.crowd[r],
            difficult=boxes.difficult[r],
            drawn=boxes.drawn[r],
            tracks=boxes.tracks[r],
            keys=boxes.neighbours.frames[r],
            hulls=boxes.neighbours.hulls[r],
            measured=place in measured,
        )
        for place, r in rows.items()
    ]


def perfect_answers(film: Film, invented: int, seed: int = 0) -> list[Detections]:
    """The true boxes of every frame with random scores, and boxes at random places."""
    random = np.random.default_rng(seed)
    answers = []
    for frame in range(FRAMES):
        true = film.boxes[film.frames == frame]
        sizes = random.uniform((25, 60), (45, 100), (invented, 2))
        corners = random.uniform(0, 1, (invented, 2)) * (np.array(SIZE) - sizes)
        boxes = np.vstack([true, np.hstack([corners, corners + sizes])])
        scores = np.sort(random.uniform(0.5, 1, len(boxes)))[::-1]
        boxes = random.permutation(boxes)
        answers.append(Detections(boxes, (LABEL,) * len(boxes), scores, SIZE))
    return answers


def _measured(truths: Sequence[GroundTruth], answers: Sequence[Detections]) -> Measurement:
    return measure(truths, answers, (LABEL,), {VIDEO: FPS})


def _perfect(film: Film) -> list[Row]:
    """A perfect detector, and one that invents a box on each frame."""
    rows = []
    perfect, inventive = (perfect_answers(film, invented) for invented in (0, 1))
    expected = _measured(truths_of(film.all_boxes(), range(FRAMES)), inventive).analysis.precision
    assert expected is not None
    for staggered in (False, True):
        keys = "staggered" if staggered else "aligned"
        floor = STAGGERED_FLOOR if staggered else ALIGNED_FLOOR
        for every in EVERY:
            table = interpolate(film.keys(every, staggered=staggered), {VIDEO: (0, FRAMES - 1, 1)})
            truths = truths_of(table, range(FRAMES))
            found = _measured(truths, perfect)
            ap50 = found.coco.ap50 or 0.0
            name = f"perfect detector, {keys} keys every {every}"
            rows.append(Row(f"{name}: AP50", ap50, 0.0, "", ap50, floor))
            share = found.truth.unpunished_share
            rows.append(Row(f"{name}: unpunished", share, 0.0, "of the picture", share, 0.0))
            precision = _measured(truths, inventive).analysis.precision or 0.0
            rows.append(
                Row(
                    f"the same with an invented box per frame, {keys} keys every {every}",
                    precision,
                    expected,
                    "precision",
                    1 - abs(precision - expected),
                    1 - PRECISION_TOLERANCE,
                )
            )
    return rows


def _models(film: Film, video: Path, models: Sequence[Path]) -> list[Row]:
    """Real models on the frames kept for evaluation: few key frames against all boxes."""
    rows = []
    pictures = _decode(video)
    dense = truths_of(film.all_boxes(), EVALUATION)
    for model in models:
        detector = Detector.load(model, threshold=0.0)
        answers = [detector.detect(picture) for picture in pictures]
        expected = _measured(dense, answers).coco.ap50 or 0.0
        for every in (10, 20, 30):
            for staggered in (False, True):
                keys = film.keys(every, staggered=staggered)
                table = interpolate(keys, {VIDEO: (0, FRAMES - 1, 1)})
                found = _measured(truths_of(table, EVALUATION), answers)
                ap50 = found.coco.ap50 or 0.0
                low, high = found.truth.AP50_interval or (ap50, ap50)
                off = 0.0 if low <= expected <= high else abs(ap50 - expected)
                rows.append(
                    Row(
                        f"{model}, {'staggered' if staggered else 'aligned'} keys every {every}, "
                        f"{found.truth.boxes} boxes, {low:.2f} to {high:.2f}",
                        ap50,
                        expected,
                        "AP50",
                        1 - off,
                        1 - AP50_TOLERANCE,
                    )
                )
    return rows


def _decode(video: Path) -> list[Picture]:
    import av

    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[number] for number in EVALUATION]


def measure_truth(data: Path | None, models: Sequence[Path] = ()) -> list[Row]:
    """Return the rows; none without pets in `data`."""
    if data is None or not (data / "pets").is_dir():
        return []
    film = Film.read(data / "pets" / "groundtruth_mot.txt")
    return _perfect(film) + _models(film, data / "pets" / VIDEO, models)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="models of `person`")
    arguments = parser.parse_args()
    print_table(measure_truth(arguments.data, arguments.models))


if __name__ == "__main__":
    main()
