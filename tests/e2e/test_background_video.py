"""A video without objects, from its empty annotation to the examples: all stages on real files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.annotation_samples import box, cvat, track, write_text, write_video
from support.data_stages import make_records

from kfdet.parameters import SamplingSettings, SplitSettings
from kfdet.planning.plan import Plan, read_plan
from kfdet.stages.planning import plan_dataset

FRAMES = 120
MOVING = [box(frame, (frame / 10, 2, frame / 10 + 12, 14)) for frame in range(0, FRAMES, 10)]
POLYGON = '<track id="0" label="cup"><polygon frame="0" points="1,1;2,2;3,1"/></track>'


def build(folder: Path, *elements: str) -> tuple[Plan, Counter[tuple[str, str, str]]]:
    """The plan, and the examples by side, video and kind, of a labelled video and another one."""
    data, plan, sampling = folder / "data", folder / "plan", SamplingSettings()
    for name in ("cups.mp4", "empty.mp4"):
        write_video(data / name, FRAMES)
    write_text(data / "cups.xml", cvat(track(*MOVING), source="cups.mp4", stop=FRAMES - 1))
    write_text(data / "empty.xml", cvat(*elements, source="empty.mp4", stop=FRAMES - 1))
    plan_dataset(str(data), plan, sampling, SplitSettings(), seed=0)
    records = make_records(str(data), plan, folder)
    rows = pq.read_table(records / "examples.parquet").to_pylist()
    return read_plan(plan), Counter((row["split"], row["video"], row["kind"]) for row in rows)


def test_a_video_annotated_without_tracks_is_background_on_both_sides(tmp_path: Path) -> None:
    plan, examples = build(tmp_path)
    empty = plan.source("empty.mp4")
    assert empty.background
    assert empty.train
    assert empty.val
    # A tenth of the examples, as the default negative share wants it, one a second.
    assert examples["train", "empty.mp4", "background"] >= 5
    assert examples["val", "empty.mp4", "background"] == 24
    assert not any(kind == "frame" for _, video, kind in examples if video == "empty.mp4")


@pytest.mark.parametrize("elements", [(POLYGON,)], ids=["a shape that is not read"])
def test_a_video_whose_objects_were_left_out_is_not_background(
    tmp_path: Path, elements: tuple[str, ...]
) -> None:
    plan, examples = build(tmp_path, *elements)
    assert [source.name for source in plan.sources] == ["cups.mp4"]
    assert not any(video == "empty.mp4" for _, video, _ in examples)
