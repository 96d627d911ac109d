"""A perfect detector is called perfect, whatever key frames its truth was drawn on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.neighbours import key_neighbours
from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.records.truth import Objects, measured_frames

FRAMES, TRACKS = 120, 5
SIDES = ("xmin", "ymin", "xmax", "ymax")


def true_boxes() -> np.ndarray:
    """(TRACKS, FRAMES, 4): objects that swing sideways, which no straight line follows."""
    time = np.arange(FRAMES)
    boxes = []
    for track in range(TRACKS):
        x = 300 + 200 * np.sin(time / (9 + 2 * track) + track)
        y = np.full(FRAMES, 40.0 + 80 * track)
        boxes.append(np.stack([x, y, x + 40, y + 60], axis=1))
    return np.array(boxes)


def truths(every: int, *, staggered: bool) -> list[GroundTruth]:
    rows = []
    for track, boxes in enumerate(true_boxes()):
        offset = track * every // TRACKS if staggered else 0
        for frame in range(FRAMES):
            if (frame - offset) % every and frame not in (0, FRAMES - 1):
                continue
            box = dict(zip(SIDES, boxes[frame].tolist(), strict=True))
            flags = dict.fromkeys(("outside", "occluded", "difficult", "crowd"), False)
            place = {"video": "a.mp4", "track_id": track, "label": "cat", "frame": frame}
            rows.append(place | box | flags | {"rotation": 0.0, "line": 0})
    table = interpolate(pa.Table.from_pylist(rows, KEY_SCHEMA), {"a.mp4": (0, FRAMES - 1, 1)})
    corners = np.stack([table[side].to_numpy() for side in SIDES], axis=1)
    neighbours = key_neighbours(table, corners, np.ones(len(table), int))
    frames, drawn = table["frame"].to_numpy(), table["keyframe"].to_numpy()
    of = [np.flatnonzero(frames == frame) for frame in range(FRAMES)]
    chosen = measured_frames(
        {("a.mp4", f): Objects(np.ones(len(r), int), drawn[r]) for f, r in enumerate(of)}
    )
    none = np.zeros(TRACKS, bool)
    return [
        GroundTruth(
            frame + 1, "a.mp4", frame, "frame", (640, 480), (0.0, 0.0, 640.0, 480.0),
            corners[r], np.ones(len(r), int), none, none, drawn[r], table["track_id"].to_numpy()[r],
            neighbours.frames[r], neighbours.hulls[r], ("a.mp4", frame) in chosen,
        )
        for frame, r in enumerate(of)
    ]  # fmt: skip


def measured(truths: list[GroundTruth], *, invented: int = 0, missed: float = 0) -> Measurement:
    random = np.random.default_rng(0)
    answers = []
    for frame in range(FRAMES):
        true = true_boxes()[:, frame]
        true = true[random.random(len(true)) >= missed]
        corners = random.uniform(0, 1, (invented, 2)) * [600, 420]
        boxes = np.vstack([true, np.hstack([corners, corners + np.array([40, 60])])])
        scores = np.sort(random.uniform(0.5, 1, len(boxes)))[::-1]
        answers.append(
            Detections(random.permutation(boxes), ("cat",) * len(boxes), scores, (640, 480))
        )
    return measure(truths, answers, ("cat",), {"a.mp4": 10.0})


@pytest.mark.parametrize("staggered", [False, True])
@pytest.mark.parametrize("every", [1, 5, 10, 20])
def test_few_key_frames_tell_what_all_boxes_tell(every: int, staggered: bool) -> None:
    dense, few = truths(1, staggered=False), truths(every, staggered=staggered)
    assert measured(few).coco.ap50 >= 0.95
    expected = measured(dense, invented=2).analysis.precision
    assert expected < 0.8
    assert measured(few, invented=2).analysis.precision == pytest.approx(expected, abs=0.05)
    expected = measured(dense, missed=0.3).coco.ap50
    assert expected < 0.8
    found = measured(few, missed=0.3)
    low, high = found.truth.AP50_interval
    assert abs(found.coco.ap50 - expected) <= 0.05 or low <= expected <= high


def test_what_is_truth() -> None:
    full, part = truths(10, staggered=False), truths(10, staggered=True)
    of_full, of_part = measured(full).truth, measured(part).truth
    assert (of_full.frames, of_full.boxes) == (13, 65)
    assert (of_full.partly_drawn_frames, of_full.unpunished_share) == (0, 0)
    assert of_full.blocks == 10
    assert of_part.partly_drawn_frames > 0
    assert of_part.boxes + of_part.undrawn_boxes == TRACKS * of_part.frames
    assert 0 < of_part.unpunished_share < 0.2
    # What is proposed is spread over the film, and would make the interval narrower.
    assert [proposal.boxes for proposal in of_full.draw] == [TRACKS] * 12
    frames = [proposal.frame for proposal in of_full.draw]
    assert min(np.diff(frames)) > 5
    assert not any(full[frame].measured for frame in frames)
    doubtful = measured(full, missed=0.5).truth
    assert doubtful.AP50_interval_then < doubtful.width
    assert measured(truths(1, staggered=False)).truth.draw == []
