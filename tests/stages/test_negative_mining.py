from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.source_factory import image, video

from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.parameters import SamplingSettings
from kfdet.planning.plan import KEYS_FILE, Plan, Split, write_plan
from kfdet.records.negatives import NEGATIVE_SCHEMA
from kfdet.stages.negative_mining import mine_negatives

TRAIN = ((0, 399),)
SOURCES = (
    replace(video("a.mp4", train=TRAIN), negative_frames=4, negative_crops=3),
    replace(image("b.jpg"), negative_crops=1),
    replace(video("c.mp4", train=TRAIN), negative_frames=2),
    video("d.mp4", train=TRAIN),
    replace(video("e.mp4", train=TRAIN, background=True), negative_frames=5),
)
NAMES = [source.name for source in SOURCES]
BUSY = {"a.mp4": range(100, 200), "b.jpg": range(1), "c.mp4": range(0, 300), "d.mp4": range(300)}
Rows = list[dict[str, Any]]


def box(name: str, frame: int) -> dict[str, Any]:
    row = {field.name: field.type.to_pandas_dtype()() for field in BOX_SCHEMA}
    row |= {"video": name, "frame": frame, "label": "mug"}
    return row | {"xmin": 100.0, "ymin": 100.0, "xmax": 140.0, "ymax": 160.0}


def write(root: Path, groups: Sequence[Sequence[str]]) -> Path:
    """A plan with these groups, and the boxes of each."""
    (root / "plan").mkdir(parents=True)
    names = tuple(tuple(group) for group in groups)
    plan = Plan("data", ("mug",), SOURCES, Split("video", 0.2, 3.0, 0), names)
    write_plan(plan, root / "plan")
    plain = {field.name: field.type.to_pandas_dtype()() for field in KEY_SCHEMA}
    keys = [
        plain | {"video": name, "frame": frame, "label": "mug"}
        for name in BUSY
        for frame in (range(0, 600, 50) if name.endswith(".mp4") else [0])
    ]
    pq.write_table(pa.Table.from_pylist(keys, schema=KEY_SCHEMA), root / "plan" / KEYS_FILE)
    for number, group in enumerate(groups):
        rows = [box(name, frame) for name in group for frame in BUSY.get(name, ())]
        table = pa.Table.from_pylist(rows[::-1], schema=BOX_SCHEMA)
        pq.write_table(table, root / f"boxes{number}")
    return root


def mined(root: Path, group: int, seed: int = 0, every: int = 1) -> Rows:
    settings = SamplingSettings(every=every)
    boxes, out = root / f"boxes{group}", root / "out" / f"negatives{group}"
    mine_negatives(root / "plan", group, boxes, out, settings, seed=seed)
    table = pq.read_table(out)
    assert table.schema == NEGATIVE_SCHEMA
    rows: Rows = table.to_pylist()
    return rows


def test_every_source_gives_what_the_plan_wants_of_it(tmp_path: Path) -> None:
    rows = mined(write(tmp_path, [NAMES]), 0, every=2)
    counts = {
        (name, kind): sum((row["video"], row["kind"]) == (name, kind) for row in rows)
        for name in NAMES
        for kind in ("frame", "crop")
    }
    assert {what: count for what, count in counts.items() if count} == {
        ("a.mp4", "frame"): 4,
        ("a.mp4", "crop"): 3,
        ("b.jpg", "crop"): 1,
        ("c.mp4", "frame"): 2,
        ("e.mp4", "frame"): 5,
    }
    assert [(row["video"], row["frame"]) for row in rows] == sorted(
        (row["video"], row["frame"]) for row in rows
    )
    assert all(row["frame"] % 2 == 0 for row in rows), "only frames that the run uses"
    sizes = {(row["xmax"], row["ymax"]) for row in rows if row["kind"] == "frame"}
    assert sizes == {(640, 360)}
    for row in (row for row in rows if row["kind"] == "frame"):
        assert row["frame"] not in BUSY.get(row["video"], ())


@pytest.mark.parametrize(
    "groups", [[[name] for name in NAMES], [NAMES[:2], NAMES[2:]], [NAMES, []]]
)
def test_same_rows_whatever_the_groups(tmp_path: Path, groups: list[list[str]]) -> None:
    whole = mined(write(tmp_path / "whole", [NAMES]), 0)
    parts = write(tmp_path / "parts", groups)
    assert [row for number in range(len(groups)) for row in mined(parts, number)] == whole


def test_the_seed_decides(tmp_path: Path) -> None:
    root = write(tmp_path, [NAMES])
    assert mined(root, 0) == mined(root, 0) != mined(root, 0, seed=1)


@pytest.mark.parametrize(
    ("group", "every", "problem"),
    [(1, 1, "there is no group 1; the plan has 1"), (0, -1, "every must be at least 0")],
)
def test_bad_input(tmp_path: Path, group: int, every: int, problem: str) -> None:
    root = write(tmp_path, [NAMES])
    (root / "boxes0").rename(root / f"boxes{group}")
    with pytest.raises(InputError, match=problem):
        mined(root, group, every=every)
    assert not (root / "out").exists()
