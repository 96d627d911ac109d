"""Ground truth: the pictures that evaluation sees, and what is known to be on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from kfdet.boxes.tables import Boxes
from kfdet.errors import InputError
from kfdet.files import read_json_object
from kfdet.records.reading import read_examples


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


def reported_side(records: Path) -> str:
    """The split that evaluation reports: "test" where the records have one, else "val"."""
    return "test" if any(records.glob("test-*.tfrecord")) else "val"


def count_pictures(records: Path, side: str = "val") -> int:
    """How many pictures of a split the records hold.

    Raises:
        InputError: There are none, or their index is missing.
    """
    return len(_read_index(records, side))


def read_ground_truth(records: Path, side: str = "val") -> Iterator[tuple[bytes, GroundTruth]]:
    """Every JPEG of a split and its ground truth, in the order of the records.

    Args:
        records: Folder with the split's TFRecords and examples.parquet.
        side: "val" or "test".

    Raises:
        InputError: There are no such records, or they do not match their index.
    """
    index = _read_index(records, side)
    for example in read_examples(records, side):
        row = index.get(example.source_id)
        if row is None:
            raise InputError(
                f"the validation record {example.source_id} is not in examples.parquet.",
                file=records,
                hint="Build the records again.",
            )
        x, y, right, bottom = window = (row["xmin"], row["ymin"], row["xmax"], row["ymax"])
        scale, origin = np.array([right - x, bottom - y] * 2), np.array([x, y, x, y])
        yield (
            example.jpeg,
            GroundTruth(
                source_id=example.source_id,
                video=row["video"],
                frame=row["frame"],
                kind=row["kind"],
                stored=(row["width"], row["height"]),
                window=window,
                boxes=example.boxes * scale + origin,
                classes=example.class_ids,
                crowd=example.crowd,
                difficult=example.difficult,
                drawn=example.drawn,
                tracks=example.tracks,
                keys=example.keys,
                hulls=example.hulls * scale + origin,
                measured=row["measured"],
            ),
        )


def read_images(
    records: Path, source_ids: Iterable[int], side: str = "val"
) -> Iterator[tuple[int, bytes]]:
    """The JPEGs of some pictures of a split, in the order of the records."""
    wanted = set(source_ids)
    for example in read_examples(records, side):
        if example.source_id in wanted:
            yield example.source_id, example.jpeg


def read_dataset(records: Path) -> dict[str, Any]:
    """The dataset.json of the records: labels, split, counts and statistics.

    Raises:
        InputError: It is missing or not JSON.
    """
    return read_json_object(records / "dataset.json", hint="Build the records again.")


def frame_rates(statistics: Mapping[str, Any]) -> dict[str, float]:
    """Frames per second of every video, from dataset.json."""
    return {s["name"]: float(s["fps"]) for s in statistics["sources"] if s["kind"] == "video"}


def _read_index(records: Path, side: str) -> dict[int, dict[str, Any]]:
    """The rows of examples.parquet about the pictures of a split, by source_id."""
    path = records / "examples.parquet"
    if not path.is_file():
        raise InputError("the index of the records is missing.", file=path)
    table = pq.read_table(path, filters=[("split", "=", side)])
    if "measured" not in table.column_names:
        raise InputError(
            "these records were made by an older version of kfdet.",
            file=records,
            hint="Build them again, or name the dataset: kfdet evaluate RUN DATASET.",
        )
    rows = table.to_pylist()
    if not rows:
        raise InputError(
            "the validation split is empty: there is nothing to measure.",
            file=path,
            hint="Raise val_share, or add a video.",
        )
    return {row["source_id"]: row for row in rows}
