from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.numbered_video import HEIGHT, WIDTH, Kind, number_of, write_video
from support.object_store import BUCKET, ObjectStore

from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.parameters import FrameSettings, Parameters, SamplingSettings
from kfdet.planning.plan import KEYS_FILE, Plan, Source, Split, write_plan
from kfdet.stages.frame_extraction import extract_group
from kfdet.video.shards import FrameStore

Workspace = tuple[Path, Path]
DEFAULTS = SamplingSettings(), FrameSettings()


def _video(name: str, train: tuple[int, int], val: tuple[int, int], step: int = 1) -> Source:
    return Source(
        name, "video", "", WIDTH, HEIGHT, 60, 25.0, 0, 59, step, train=(train,), val=(val,)
    )


SOURCES = (
    _video("videos/a.mp4", (0, 19), (40, 49)),
    _video("videos/b.mkv", (0, 29), (50, 59), step=5),
    _video("videos/c.avi", (0, 59), (60, 60)),
    Source("images/d.jpg", "image", "", 48, 32, 1, 0.0, 0, 0, 1, train=((0, 0),)),
    Source("images/e.png", "image", "", 48, 32, 1, 0.0, 0, 0, 1, val=((0, 0),)),
    Source("images/f.png", "image", "", 48, 32, 1, 0.0, 0, 0, 1),
)
GROUPS = (
    ("videos/a.mp4", "videos/b.mkv", "images/d.jpg", "images/e.png", "images/f.png"),
    ("videos/c.avi",),
    (),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A dataset of three videos and three images, and a plan for it."""
    root = tmp_path_factory.mktemp("workspace")
    dataset, plan = root / "dataset", root / "plan"
    for folder in (dataset / "videos", dataset / "images", plan):
        folder.mkdir(parents=True)
    write_video(dataset / "videos/a.mp4", Kind(".mp4", options={"g": "12"}))
    write_video(dataset / "videos/b.mkv", Kind(".mkv", options={"g": "12"}))
    write_video(dataset / "videos/c.avi", Kind(".avi", "mpeg4", {"b": "900k"}))
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for name in ("d.jpg", "e.png", "f.png"):
        Image.fromarray(noise).save(dataset / "images" / name)
    split = Split("time-block", 0.2, 1.0, 0)
    write_plan(Plan("dataset", ("thing",), SOURCES, split, GROUPS), plan)
    keys = [("videos/a.mp4", 7), ("videos/a.mp4", 30), ("videos/b.mkv", 12)]
    rows = [
        {field.name: field.type.to_pandas_dtype()() for field in KEY_SCHEMA}
        | {"video": video, "frame": frame}
        for video, frame in keys
    ]
    pq.write_table(pa.Table.from_pylist(rows, KEY_SCHEMA), plan / KEYS_FILE)
    return dataset, plan


def _extract(workspace: Workspace, frames: Path, group: int = 0, **options: float) -> FrameStore:
    dataset, plan = workspace
    given = Parameters(**options)  # type: ignore[arg-type]
    settings = given.part(SamplingSettings), given.part(FrameSettings)
    extract_group(str(dataset), plan, group, frames, *settings)
    return FrameStore([frames])


def test_empty_group_gives_an_empty_store(workspace: Workspace, tmp_path: Path) -> None:
    assert len(_extract(workspace, tmp_path / "frames", 2)) == 0


def test_extracts_the_planned_frames_and_the_key_frames(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = _extract(workspace, tmp_path / "frames", every=4)
    found: dict[str, list[int]] = {}
    for row in store.index.to_pylist():
        found.setdefault(row["video"], []).append(row["frame"])
    assert found == {
        "images/d.jpg": [0],
        "images/e.png": [0],
        "videos/a.mp4": [0, 4, 7, 8, 12, 16, 40, 44, 48],
        "videos/b.mkv": [0, 12, 20],
    }
    for video in ("videos/a.mp4", "videos/b.mkv"):
        assert [number_of(store.read(video, n)) for n in found[video]] == found[video]


def test_default_is_ten_frames_a_second(workspace: Workspace, tmp_path: Path) -> None:
    store = _extract(workspace, tmp_path / "frames", 1)
    assert len(store) == 60 * 10 / 25
    assert np.diff(store.index["seconds"].to_numpy()).min() > 0.079


def test_images_pass_through(workspace: Workspace, tmp_path: Path) -> None:
    store = _extract(workspace, tmp_path / "frames")
    assert store.read("images/d.jpg", 0) == (workspace[0] / "images/d.jpg").read_bytes()


def test_longest_side_keeps_the_source_size(workspace: Workspace, tmp_path: Path) -> None:
    store = _extract(workspace, tmp_path / "frames", longest_side=44)
    rows = {row["video"]: row for row in store.index.to_pylist()}
    assert [rows["videos/a.mp4"][k] for k in ("width", "height")] == [44, 28]
    assert [rows["videos/a.mp4"][f"source_{k}"] for k in ("width", "height")] == [WIDTH, HEIGHT]
    assert [rows["images/d.jpg"][k] for k in ("width", "source_width")] == [44, 48]


def test_same_input_same_bytes_whatever_the_cores(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores in (1, 2, 7):
        monkeypatch.setattr("kfdet.stages.frame_extraction.count_cores", lambda cores=cores: cores)
        _extract(workspace, tmp_path / str(cores))
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
        assert path.read_bytes() == (tmp_path / "7" / path.name).read_bytes()


@pytest.mark.parametrize("group", [0, 2])
def test_a_dataset_in_a_bucket_gives_the_same_bytes_and_only_its_sources_travel(
    group: int,
    workspace: Workspace,
    tmp_path: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, plan = workspace
    object_store.put(dataset, "toys")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    _extract((dataset, plan), tmp_path / "local", group)
    object_store.log.clear()
    extract_group(f"minio://{BUCKET}/toys", plan, group, tmp_path / "remote", *DEFAULTS)
    for path in (tmp_path / "local").iterdir():
        assert path.read_bytes() == (tmp_path / "remote" / path.name).read_bytes()
    fetched = [line for line in object_store.log if line.startswith(f"GET {BUCKET}/toys/")]
    names = [name for name in GROUPS[group] if name != "images/f.png"]
    assert sorted(fetched) == sorted(f"GET {BUCKET}/toys/{name}" for name in names)
    assert not list(scratch.iterdir())


def test_a_source_that_is_no_longer_in_the_bucket(
    workspace: Workspace,
    tmp_path: Path,
    object_store: ObjectStore,
) -> None:
    object_store.put(workspace[0] / "images", "toys/images")
    problem = f"minio://{BUCKET}/toys: videos/a.mp4 is no longer in the bucket"
    with pytest.raises(InputError, match=problem):
        extract_group(f"minio://{BUCKET}/toys", workspace[1], 0, tmp_path / "frames", *DEFAULTS)
    assert not list(tmp_path.iterdir())


def test_progress_ends_at_the_total(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "events"
    monkeypatch.setenv("KFDET_EVENTS", str(log))
    store = _extract(workspace, tmp_path / "frames")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert last["done"] == last["total"] == len(store)


def _truncate(dataset: Path) -> None:
    (dataset / "images/e.png").write_bytes((dataset / "images/e.png").read_bytes()[:900])


def _blank(dataset: Path) -> None:
    (dataset / "videos/a.mp4").write_bytes(b"")


@pytest.mark.parametrize(
    ("break_it", "options", "problem"),
    [
        (None, {"group": 3}, "no group 3"),
        (None, {"jpeg_quality": 101}, "jpeg_quality must be 1 to 100, got 101"),
        (None, {"longest_side": -1}, "longest_side must be at least 0"),
        (None, {"frame_rate": 0}, "frame_rate must be at least"),
        (_truncate, {}, "e.png"),
        (_blank, {}, "a.mp4: the video is empty"),
    ],
)
def test_bad_input_is_an_error_and_leaves_nothing_half_written(
    workspace: Workspace,
    tmp_path: Path,
    break_it: Callable[[Path], None] | None,
    options: dict[str, int],
    problem: str,
) -> None:
    dataset = tmp_path / "dataset"
    for source in (path for path in workspace[0].rglob("*") if path.is_file()):
        target = dataset / source.relative_to(workspace[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    if break_it:
        break_it(dataset)
    with pytest.raises(InputError, match=re.escape(problem)):
        _extract((dataset, workspace[1]), tmp_path / "out" / "frames", **options)
    assert not list((tmp_path / "out").glob("*"))
