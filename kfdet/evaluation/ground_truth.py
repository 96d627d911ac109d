"""Ground truth: the pictures that evaluation sees, and what is known to be on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import SIDES, Boxes, corners
from kfdet.records.reading import Records


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """One picture of the validation or test side, and the boxes that its records hold.

    Args:
        source_id: Its id in the records.
        video: Path of the source video (or image) relative to the dataset.
        frame: 0-based frame of the source video.
        kind: "frame", "background" or "crop".
        stored: Width and height of the JPEG in the records.
        window: Its place in the source frame: xmin, ymin, xmax, ymax in source pixels.
        boxes: (N, 4) xmin, ymin, xmax, ymax in source pixels.
        classes: (N,) class ids: positions in the labels, from 1.
        crowd: (N,) whether a box stands for a group of objects.
        difficult: (N,) whether a box is ignored in scoring.
        drawn: (N,) whether a person drew the box on this frame; the others are interpolated.
        tracks: (N,) the track of each box, UNTRACKED without one.
        keys: (N, 2) the key frames before and after each box, NO_KEY where there is none.
        hulls: (N, 4) the smallest box around the track's boxes on these, in source pixels.
        measured: Whether the picture is truth; the others are only looked at.
    """

    source_id: int
    video: str
    frame: int
    kind: str
    stored: tuple[int, int]
    window: tuple[float, float, float, float]
    boxes: Boxes
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    difficult: npt.NDArray[np.bool_]
    drawn: npt.NDArray[np.bool_]
    tracks: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    hulls: Boxes
    measured: bool = True

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Which boxes a detector has to find: (N,)."""
        counted: npt.NDArray[np.bool_] = self.drawn & ~self.crowd & ~self.difficult
        return counted & self.measured

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in source pixels."""
        return self.window[2] - self.window[0], self.window[3] - self.window[1]

    def to_stored(self, boxes: Boxes) -> Boxes:
        """Boxes in source pixels as pixels of the stored JPEG."""
        origin = np.tile(self.window[:2], 2)
        stored: Boxes = (boxes - origin) * np.tile(np.divide(self.stored, self.size), 2)
        return stored

    def to_source(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels of the stored JPEG as source pixels."""
        origin = np.tile(self.window[:2], 2)
        source: Boxes = boxes * np.tile(np.divide(self.size, self.stored), 2) + origin
        return source


def read_ground_truth(records: Records, side: str = "val") -> list[GroundTruth]:
    """What is known to be on every picture of a split, in their order.

    Args:
        records: The records.
        side: "val" or "test".

    Raises:
        InputError: There are no such pictures.
    """
    examples, objects = records.examples(side), records.objects(side)
    ids = examples["source_id"].to_numpy()
    owners = objects["source_id"].to_numpy()
    first = np.searchsorted(owners, ids).tolist()
    stop = np.searchsorted(owners, ids, side="right").tolist()
    boxes, hulls = corners(objects), corners(objects, "hull_")
    keys = np.stack([objects[f"key_{name}"].to_numpy() for name in ("before", "after")], axis=1)
    columns = {
        name: objects[column].to_numpy()
        for name, column in {
            "classes": "class_id",
            "crowd": "crowd",
            "difficult": "difficult",
            "drawn": "drawn",
            "tracks": "track",
        }.items()
    }
    return [
        GroundTruth(
            source_id=row["source_id"],
            video=row["video"],
            frame=row["frame"],
            kind=row["kind"],
            stored=(row["width"], row["height"]),
            window=tuple(row[name] for name in SIDES),
            boxes=boxes[own],
            keys=keys[own],
            hulls=hulls[own],
            measured=row["measured"],
            **{name: values[own] for name, values in columns.items()},
        )
        for row, own in zip(examples.to_pylist(), map(slice, first, stop), strict=True)
    ]


def frame_rates(statistics: Mapping[str, Any]) -> dict[str, float]:
    """Frames per second of every video, from dataset.json."""
    return {s["name"]: float(s["fps"]) for s in statistics["sources"] if s["kind"] == "video"}
