"""What a dataset is made of, for its report: counts, box sizes, split, and a few pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.boxes.tables import SIDES, UNTRACKED, Boxes, corners
from kfdet.planning.plan import Plan
from kfdet.records.description import PERCENTILES
from kfdet.records.examples import KINDS, SPLITS, Kind, SplitName
from kfdet.records.reading import Records
from kfdet.records.tables import EXAMPLES_FILE, OBJECTS_FILE

SAMPLES_FILE = "samples.zip"
"""Sample pictures in the folder of the records."""

SAMPLES = 12

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NONE = np.zeros(0, np.int64)


class BoxCounter:
    """Counts boxes, group after group: no track is in two of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @property
    def boxes(self) -> int:
        """How many there were."""
        return self._counts["boxes"]

    def add(self, boxes: pa.Table) -> None:
        """Count the objects of BOX_SCHEMA."""
        boxes = boxes.filter(pc.invert(boxes["crowd"]))
        videos = boxes["video"].combine_chunks().dictionary_encode().indices.to_numpy()
        self._counts.update(
            _box_counts(
                videos,
                boxes["track_id"].to_numpy(),
                boxes["keyframe"].to_numpy(),
                boxes["occluded"].to_numpy(),
            )
        )

    def counts(self) -> dict[str, int]:
        """boxes, key_boxes, interpolated_boxes, occluded_boxes and tracks."""
        return dict(self._counts)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One split: E examples, and the O objects on them.

    Args:
        videos: (E,) positions of the sources in the plan.
        kinds: (E,) positions in KINDS.
        owners: (O,) the example of each object.
        classes: (O,) class ids, from 1.
        sizes: (O, 2) width and height in source pixels.
        tracks: (O,) tracks.
        drawn: (O,) whether a person drew it.
        occluded: (O,) whether it is.
    """

    videos: Integers
    kinds: Integers
    owners: Integers
    classes: Integers
    sizes: npt.NDArray[np.float64]
    tracks: Integers
    drawn: Flags
    occluded: Flags

    @classmethod
    def of(cls, plan: Plan, records: Records, side: str) -> _Side:
        """Read a split."""
        examples = records.examples(side, ["source_id", "video", "kind"])
        objects = records.objects(side)
        objects = objects.filter(pc.invert(objects["crowd"]))
        names = pa.array([source.name for source in plan.sources])
        return cls(
            pc.index_in(examples["video"], names).to_numpy(),
            pc.index_in(examples["kind"], pa.array(KINDS)).to_numpy(),
            np.searchsorted(examples["source_id"].to_numpy(), objects["source_id"].to_numpy()),
            objects["class_id"].to_numpy(),
            np.stack(
                [
                    objects["xmax"].to_numpy() - objects["xmin"].to_numpy(),
                    objects["ymax"].to_numpy() - objects["ymin"].to_numpy(),
                ],
                axis=1,
            ),
            *(objects[name].to_numpy() for name in ("track", "drawn", "occluded")),
        )

    def counts(self, labels: Sequence[str]) -> dict[str, Any]:
        """Examples and boxes."""
        kinds = np.bincount(self.kinds, minlength=len(KINDS)).tolist()
        classes = np.bincount(self.classes, minlength=len(labels) + 1)[1:].tolist()
        return {
            "examples": len(self.kinds),
            **dict(zip(KINDS, kinds, strict=True)),
            **_box_counts(self.videos[self.owners], self.tracks, self.drawn, self.occluded),
            "labels": dict(zip(labels, classes, strict=True)),
        }


def describe_dataset(plan: Plan, records: Records, all_boxes: BoxCounter) -> dict[str, Any]:
    """The contents of dataset.json.

    Keys: `name` of the dataset; `labels`; `split` (strategy, val_share, guard_seconds, seed,
    sides_from, train_frames, val_frames, train_sources, val_sources, and test_... where there is a
    test side); `counts` by split: `examples`, one per
    kind, `boxes`, `key_boxes`, `interpolated_boxes`, `occluded_boxes`, `tracks`, and `labels`
    (boxes by label); `boxes`: percentiles (by their number, as text) of `width`, `height`, `area`
    as shares of the picture, of `aspect` (width over height, in pixels) and of `boxes_per_image`;
    `all_boxes` (boxes, key boxes and tracks before frames were thinned); `sources`: name, kind,
    size, frames, fps, ranges, and examples by split.
    """
    used = [split for split in SPLITS if any(getattr(source, split) for source in plan.sources)]
    sides = {split: _Side.of(plan, records, split) for split in used}
    nothing: dict[str, Any] = {
        "examples": 0,
        **dict.fromkeys(KINDS, 0),
        **_box_counts(_NONE, _NONE, _NONE > 0, _NONE > 0),
        "labels": dict.fromkeys(plan.labels, 0),
    }
    shown = [split for split in SPLITS if split != "test" or split in sides]
    sizes = np.array([source.size for source in plan.sources], np.float64)
    size = np.concatenate([side.sizes for side in sides.values()])
    share = size / np.concatenate([sizes[side.videos[side.owners]] for side in sides.values()])
    per_image = [np.bincount(side.owners, minlength=len(side.kinds)) for side in sides.values()]
    per_source = {
        split: np.bincount(side.videos, minlength=len(plan.sources)).tolist()
        for split, side in sides.items()
    }
    return {
        "name": plan.dataset,
        "labels": list(plan.labels),
        "split": {
            **asdict(plan.split),
            **{f"{s}_frames": len(sides[s].kinds) if s in sides else 0 for s in shown},
            **{
                f"{s}_sources": [source.name for source in plan.sources if getattr(source, s)]
                for s in shown
            },
        },
        "counts": {
            split: sides[split].counts(plan.labels) if split in sides else nothing
            for split in shown
        },
        "all_boxes": all_boxes.counts(),
        "boxes": {
            "width": _percentiles(share[:, 0]),
            "height": _percentiles(share[:, 1]),
            "area": _percentiles(share.prod(axis=1)),
            "aspect": _percentiles(size[:, 0] / size[:, 1]),
            "boxes_per_image": _percentiles(np.concatenate(per_image)),
        },
        "sources": [
            {
                **asdict(source),
                **{f"{s}_examples": per_source[s][n] if s in sides else 0 for s in shown},
            }
            for n, source in enumerate(plan.sources)
        ],
    }


def _box_counts(
    videos: Integers, tracks: Integers, drawn: Flags, occluded: Flags
) -> dict[str, int]:
    """Counts of N objects."""
    tracked = tracks != UNTRACKED
    pairs = np.unique(np.stack([videos[tracked], tracks[tracked]]), axis=1)
    key_boxes = int(drawn.sum())
    return {
        "boxes": len(drawn),
        "key_boxes": key_boxes,
        "interpolated_boxes": len(drawn) - key_boxes,
        "occluded_boxes": int(occluded.sum()),
        "tracks": pairs.shape[1],
    }


def _percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    """Percentiles by their number; empty where there is no value."""
    if not len(values):
        return {}
    found = np.percentile(values.astype(np.float64), PERCENTILES)
    return {str(p): round(float(v), 6) for p, v in zip(PERCENTILES, found, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An example worth seeing, and its objects.

    Args:
        source_id: Its number.
        split: Its side.
        kind: What it is.
        video: Its source.
        frame: Its frame.
        boxes: (N, 4) xmin, ymin, xmax, ymax as shares of its picture.
        classes: N class ids.
        drawn: (N,) whether a person drew them.
    """

    source_id: int
    split: SplitName
    kind: Kind
    video: str
    frame: int
    boxes: Boxes
    classes: Sequence[int]
    drawn: Flags


def choose_samples(records: Records, labels: int) -> list[Sample]:
    """At most SAMPLES examples worth seeing: each label if possible, background, both splits.

    Args:
        records: The records.
        labels: How many labels there are.
    """
    chosen = _spread(_of_kind(records, "val", "frame"), 3)
    if "train" in records.sides:
        for kind in KINDS[1:]:
            chosen += _spread(_of_kind(records, "train", kind), 1)
        chosen += _of_each_label(records, labels, SAMPLES - len(chosen))
    examples = records.rows(EXAMPLES_FILE, chosen).to_pylist()
    objects = records.rows(OBJECTS_FILE, chosen)
    objects = objects.filter(pc.invert(objects["crowd"]))
    samples = [_sample(row, objects) for row in examples]
    return sorted(samples, key=lambda s: (SPLITS.index(s.split), KINDS.index(s.kind), s.source_id))


def _of_kind(records: Records, side: str, kind: str) -> Integers:
    examples = records.examples(side, ["source_id", "kind"])
    ids: Integers = examples.filter(pc.equal(examples["kind"], kind))["source_id"].to_numpy()
    return ids


def _of_each_label(records: Records, labels: int, places: int) -> list[int]:
    """Training examples that show every label, the rare ones first."""
    objects = records.objects("train", ["source_id", "class_id", "crowd"])
    objects = objects.filter(pc.invert(objects["crowd"]))
    classes, ids = objects["class_id"].to_numpy(), objects["source_id"].to_numpy()
    groups = [np.unique(ids[classes == number]) for number in range(1, labels + 1)]
    groups = sorted((group for group in groups if len(group)), key=len)
    quota = -(-places // max(1, len(groups)))
    found = dict.fromkeys(
        number
        for n, group in enumerate(groups)
        for number in _spread(group, quota, (n + 0.5) / len(groups))  # the labels take turns
    )
    return list(found)[:places]


def _spread(numbers: Integers, count: int, phase: float = 0.5) -> list[int]:
    """At most `count` numbers, evenly spread; `phase` 0..1 moves them within their distance."""
    count = min(count, len(numbers))
    return [int(numbers[int((i + phase) * len(numbers) / count)]) for i in range(count)]


def _sample(row: Mapping[str, Any], objects: pa.Table) -> Sample:
    """The sample of a row of EXAMPLE_SCHEMA, with its own of some objects."""
    objects = objects.filter(pc.equal(objects["source_id"], row["source_id"]))
    window = np.array([row[side] for side in SIDES])
    origin, size = np.tile(window[:2], 2), np.tile(window[2:] - window[:2], 2)
    return Sample(
        row["source_id"],
        row["split"],
        row["kind"],
        row["video"],
        row["frame"],
        (corners(objects) - origin) / size,
        objects["class_id"].to_pylist(),
        objects["drawn"].to_numpy(),
    )
