from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.tables import iou_matrix
from kfdet.dataset.loading import Dataset, Item, KeyBox, load
from kfdet.parameters import NegativeSettings, SamplingSettings, SplitSettings
from kfdet.planning.planner import make_plan, split_inputs
from kfdet.planning.ranges import contains


def dataset_of(folder: Path, items: list[Item], labels: int) -> Dataset:
    """A dataset of items that were read, with labels "0", "1" and so on."""
    for item in items:
        item.path.write_text(item.name)
    return Dataset(folder, items, [str(number) for number in range(labels)], [])


def plan_of(data: Dataset) -> tuple[object, ...]:
    return make_plan(data, SamplingSettings(), SplitSettings(), NegativeSettings(), seed=0)


@pytest.fixture(scope="module")
def pets(shared_data: Path) -> Dataset:
    return load(shared_data / "pets")


def test_copying_the_nearest_training_frame_does_not_pay(pets: Dataset) -> None:
    """The leak that a random split over frames has: there this scores .996 (facts of the issue)."""
    plan, keys, _ = plan_of(pets)
    source = plan.sources[0]  # type: ignore[attr-defined]
    table = interpolate(keys, {source.name: (source.start, source.stop, source.step)})  # type: ignore[arg-type]
    frames = table["frame"].to_numpy()
    boxes = np.column_stack([table[c].to_numpy() for c in ("xmin", "ymin", "xmax", "ymax")])

    def f1(train: np.ndarray, val: np.ndarray) -> float:
        hits = predicted = true = 0
        for frame in val:
            nearest = train[np.argmin(np.abs(train - frame))]
            iou = iou_matrix(boxes[frames == nearest], boxes[frames == frame])
            predicted, true = predicted + iou.shape[0], true + iou.shape[1]
            while iou.size and iou.max() >= 0.5:
                row, column = np.unravel_index(iou.argmax(), iou.shape)
                iou[row], iou[:, column] = 0, 0
                hits += 1
        return 2 * hits / (predicted + true)

    used = np.unique(frames)
    train, val = (used[contains(ranges, used)] for ranges in (source.train, source.val))
    assert len(val) / (len(train) + len(val)) == pytest.approx(0.2, abs=0.02)
    assert f1(train, val) <= 0.2
    random = np.isin(used, np.random.default_rng(0).choice(used, len(used) // 10, replace=False))
    assert f1(used[~random], used[random]) >= 0.98


def test_duplicate_photos_are_on_one_side(shared_data: Path) -> None:
    plan, keys, warnings = plan_of(load(shared_data / "raccoon"))
    sides = {s.name.removeprefix("images/raccoon-"): bool(s.val) for s in plan.sources}  # type: ignore[attr-defined]
    assert (len(sides), sum(sides.values()), warnings) == (200, 40, [])
    for a, b in (("11", "116"), ("120", "83"), ("52", "74"), ("65", "98"), ("21", "45")):
        assert sides[f"{a}.jpg"] == sides[f"{b}.jpg"]
    assert len(set(keys["video"].to_pylist())) == 200  # type: ignore[index]


def test_the_counts_of_a_source_take_room_for_its_own_labels_only(tmp_path: Path) -> None:
    item = Item("a.mp4", tmp_path / "a.mp4", "video", 640, 480, 100, 10.0, "a.xml", stop=99)
    item.keys = [KeyBox(0, "900", 0, 0, 0, 9, 9), KeyBox(1, "7", 50, 0, 0, 9, 9)]
    (one,), _ = split_inputs(dataset_of(tmp_path, [item], 1000), SamplingSettings())
    assert one.labels.tolist() == [7, 900]
    assert (one.boxes.shape, one.boxes.nbytes) == ((100, 2), 200)
    assert one.boxes.sum(axis=0).tolist() == [50, 100]


def test_planning_of_many_images_takes_little_memory_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million of them are planned in one process."""
    count, random = 1000, np.random.default_rng(0)
    path = tmp_path / "image.jpg"
    path.touch()
    items = [
        Item(f"{i:04d}.jpg", path, "image", 640, 480, 1, 0.0, "coco.json", keys=boxes)
        for i, boxes in enumerate(_boxes(count, random))
    ]
    data = Dataset(tmp_path, items, [f"{number}" for number in range(200)], [])
    hashes = random.integers(2**63, size=count).tolist()
    monkeypatch.setattr("kfdet.planning.planner.perceptual_hashes", lambda *_: hashes)
    plan_of(data)  # what is imported or made once does not count
    tracemalloc.start()
    try:
        plan, keys, _ = plan_of(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(plan.sources) == count  # type: ignore[attr-defined]
    assert keys.num_rows == 5 * count  # type: ignore[attr-defined]
    assert peak / count < 1500


def _boxes(count: int, random: np.random.Generator) -> Iterator[list[KeyBox]]:
    for labels in random.integers(200, size=(count, 5)).tolist():
        yield [KeyBox(-1, str(label), 0, 1.0, 2.0, 30.0, 40.0) for label in labels]
