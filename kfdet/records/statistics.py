"""What a dataset is made of, for its report: counts, box sizes, split, and a few drawn pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from kfdet.planning.plan import Plan
from kfdet.records.examples import KINDS, SPLITS, SelectedExample, splits_of
from kfdet.records.frame_boxes import FrameBoxes

SAMPLES_FILE = "samples.zip"
"""Sample pictures in the folder of the records."""

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
SAMPLES = 12


def describe_dataset(
    plan: Plan, boxes: FrameBoxes, examples: Sequence[SelectedExample]
) -> dict[str, Any]:
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
    splits = splits_of(examples)
    rows = {split: _rows(boxes, [e for e in examples if e.split == split]) for split in splits}
    used = np.concatenate([rows[split] for split in splits])
    size = boxes.corners[used, 2:] - boxes.corners[used, :2]
    share = size / boxes.limits[used, 2:]
    per_source = Counter((e.video, e.split) for e in examples)
    ranges = {split: [s for s in plan.sources if getattr(s, split)] for split in splits}
    return {
        "name": plan.dataset,
        "labels": list(plan.labels),
        "split": {
            **asdict(plan.split),
            **{f"{s}_frames": sum(e.split == s for e in examples) for s in splits},
            **{f"{s}_sources": [source.name for source in ranges[s]] for s in splits},
        },
        "counts": {split: _counts(plan, boxes, examples, split, rows[split]) for split in splits},
        "all_boxes": _box_counts(boxes, np.flatnonzero(~boxes.crowd)),
        "boxes": {
            "width": _percentiles(share[:, 0]),
            "height": _percentiles(share[:, 1]),
            "area": _percentiles(share.prod(axis=1)),
            "aspect": _percentiles(size[:, 0] / size[:, 1]),
            "boxes_per_image": _percentiles(np.array([_count(boxes, e) for e in examples])),
        },
        "sources": [
            {
                **asdict(source),
                **{f"{split}_examples": per_source[source.name, split] for split in splits},
            }
            for source in plan.sources
        ],
    }


def _count(boxes: FrameBoxes, example: SelectedExample) -> int:
    return len(boxes.objects(example.video, example.frame)) if example.kind == "frame" else 0


def _rows(boxes: FrameBoxes, examples: Sequence[SelectedExample]) -> npt.NDArray[np.int64]:
    """Rows of all objects on these examples."""
    parts = [boxes.objects(e.video, e.frame) for e in examples if e.kind == "frame"]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _box_counts(boxes: FrameBoxes, rows: npt.NDArray[np.int64]) -> dict[str, int]:
    table = boxes.table.take(rows)
    tracked = table.filter(pc.greater_equal(table["track_id"], 0))
    drawn = int(pc.sum(table["keyframe"]).as_py() or 0)
    return {
        "boxes": len(table),
        "key_boxes": drawn,
        "interpolated_boxes": len(table) - drawn,
        "occluded_boxes": int(pc.sum(table["occluded"]).as_py() or 0),
        "tracks": len(tracked.group_by(["video", "track_id"]).aggregate([])),
    }


def _counts(
    plan: Plan,
    boxes: FrameBoxes,
    examples: Sequence[SelectedExample],
    split: str,
    rows: npt.NDArray[np.int64],
) -> dict[str, Any]:
    kinds = Counter(e.kind for e in examples if e.split == split)
    labels = Counter(boxes.labels[row] for row in rows.tolist())
    return {
        "examples": kinds.total(),
        **{kind: kinds[kind] for kind in KINDS},
        **_box_counts(boxes, rows),
        "labels": {label: labels[label] for label in plan.labels},
    }


def _percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    """Percentiles by their number; empty where there is no value."""
    if not len(values):
        return {}
    found = np.percentile(values.astype(np.float64), PERCENTILES)
    return {str(p): round(float(v), 6) for p, v in zip(PERCENTILES, found, strict=True)}


def choose_samples(
    examples: Sequence[SelectedExample], boxes: FrameBoxes, labels: Sequence[str]
) -> list[SelectedExample]:
    """At most SAMPLES examples worth seeing: each label if possible, background, both splits."""
    by_label: dict[str, list[SelectedExample]] = {label: [] for label in labels}
    for example in examples:
        if example.kind == "frame" and example.split == "train":
            rows = boxes.objects(example.video, example.frame)
            for label in {boxes.labels[row] for row in rows}:
                by_label[label].append(example)
    val = [e for e in examples if e.split == "val" and e.kind == "frame"]
    chosen = _spread(val, 3)
    for kind in ("background", "crop"):
        chosen += _spread([e for e in examples if e.split == "train" and e.kind == kind], 1)
    groups = sorted((group for group in by_label.values() if group), key=len)  # rare labels first
    places = SAMPLES - len(chosen)
    quota = -(-places // max(1, len(groups)))
    pictures = {
        e.source_id: e
        for n, group in enumerate(groups)
        for e in _spread(group, quota, (n + 0.5) / len(groups))  # the labels take turns
    }
    chosen += list(pictures.values())[:places]
    order = {split: i for i, split in enumerate(SPLITS)}
    return sorted(chosen, key=lambda e: (order[e.split], KINDS.index(e.kind), e.source_id))


def _spread(
    examples: Sequence[SelectedExample], count: int, phase: float = 0.5
) -> list[SelectedExample]:
    """At most `count` examples, evenly spread; `phase` 0..1 moves them within their distance."""
    count = min(count, len(examples))
    return [examples[int((i + phase) * len(examples) / count)] for i in range(count)]
