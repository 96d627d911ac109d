from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
from PIL import Image
from support.numbered_video import HEIGHT, WIDTH, Kind, number_of, write_video
from support.object_store import BUCKET, ObjectStore

from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.parameters import FrameSettings, Parameters, SamplingSettings
from kfdet.planning.plan import KEYS_FILE, Plan, Source, Split, write_plan
from kfdet.records.negatives import negative_table
from kfdet.records.tables import (
    EXAMPLE_SCHEMA,
    EXAMPLES_FILE,
    OBJECT_SCHEMA,
    OBJECTS_FILE,
    SHARD_SCHEMA,
    SHARDS_FILE,
)
from kfdet.records.tfrecord import Example, ShardWriter, parse, read_records
from kfdet.stages import frame_extraction
from kfdet.stages.frame_extraction import extract_group
from kfdet.storage.copies import local_dataset

DEFAULTS = SamplingSettings(), FrameSettings()
SIZES = {"video": (WIDTH, HEIGHT), "image": (48, 32)}


def _video(name: str, train: tuple[int, int], val: tuple[int, int], step: int = 1) -> Source:
    return Source(
        name, "video", "", WIDTH, HEIGHT, 60, 25.0, 0, 59, step, train=(train,), val=(val,)
    )


def _image(name: str, **sides: Any) -> Source:
    return Source(name, "image", f"{name}.xml", 48, 32, 1, 0.0, 0, 0, 1, **sides)


SOURCES = tuple(
    replace(source, first_id=1 + 200 * number)
    for number, source in enumerate(
        [
            _image("images/d.jpg", train=((0, 0),)),
            _image("images/e.png", val=((0, 0),)),
            _image("images/f.png", train=((0, 0),)),  # without a box
            _video("videos/a.mp4", (0, 19), (40, 49)),
            _video("videos/b.mkv", (0, 29), (50, 59), step=5),
            _video("videos/c.avi", (0, 59), (60, 60)),
        ]
    )
)
NAMES = [source.name for source in SOURCES]
GROUPS = (tuple(NAMES[:5]), ("videos/c.avi",), ())
KEYS = [("videos/a.mp4", 7), ("videos/a.mp4", 30), ("videos/a.mp4", 45), ("videos/b.mkv", 12)]


def box(video: str, frame: int, track: int = 0, **other: Any) -> dict[str, Any]:
    row = {"video": video, "frame": frame, "track_id": track, "label": "thing", "method": "linear"}
    row |= {"occluded": False, "keyframe": (video, frame) in KEYS, "difficult": False}
    return row | {"crowd": False, "xmin": 8.0, "ymin": 4.0, "xmax": 32.0, "ymax": 20.0} | other


BOXES = [
    box(source.name, frame)
    for source in SOURCES
    if source.name != "images/f.png"
    for frame in range(source.frames)
]


@dataclass(frozen=True)
class Workspace:
    """A dataset, its plan, and the tables of boxes and background of its groups."""

    dataset: Path
    plan: Path

    def boxes(self, group: int) -> Path:
        return self.plan.parent / f"boxes{group}"

    def negatives(self, group: int) -> Path:
        return self.plan.parent / f"negatives{group}"

    def extract(
        self,
        out: Path,
        group: int = 0,
        *,
        dataset: str = "",
        boxes: Sequence[dict[str, Any]] | None = None,
        negatives: Sequence[tuple[Any, ...]] | None = None,
        address: str = "",
        **options: float,
    ) -> Extracted:
        """Run the stage with these settings."""
        table, mined = self.boxes(group), self.negatives(group)
        if boxes is not None:
            table = out.parent / f"{out.name}-boxes"
            pq.write_table(pa.Table.from_pylist(list(boxes), schema=BOX_SCHEMA), table)
        if negatives is not None:
            mined = out.parent / f"{out.name}-negatives"
            pq.write_table(negative_table(negatives), mined)
        given = Parameters(**options)  # type: ignore[arg-type]
        extract_group(
            dataset or str(self.dataset),
            self.plan,
            group,
            table,
            mined,
            out / "shards",
            out / "index",
            given.part(SamplingSettings),
            given.part(FrameSettings),
            address=address,
        )
        return Extracted(out)


class Extracted:
    """What the stage wrote.

    Attributes:
        rows: Those of examples.parquet.
        examples: The record of each, found by its place.
    """

    def __init__(self, folder: Path) -> None:
        self.shards, self.index = folder / "shards", folder / "index"
        self.rows = pq.read_table(self.index / EXAMPLES_FILE).to_pylist()
        self.examples = [
            self._read(place) for place in pq.read_table(self.index / SHARDS_FILE).to_pylist()
        ]
        assert [row["source_id"] for row in self.rows] == [e.source_id for e in self.examples]

    def _read(self, place: dict[str, Any]) -> Example:
        data = (self.shards / place["shard"]).read_bytes()
        return parse(data[place["offset"] :][: place["length"]])

    @property
    def frames(self) -> dict[str, list[int]]:
        """Frames by source, in their order."""
        found: dict[str, list[int]] = {}
        for row in self.rows:
            found.setdefault(row["video"], []).append(row["frame"])
        return found

    def of(self, name: str) -> tuple[dict[str, Any], Example]:
        """The only example of a source."""
        ((row, example),) = [
            pair for pair in zip(self.rows, self.examples, strict=True) if pair[0]["video"] == name
        ]
        return row, example

    def files(self) -> dict[str, bytes]:
        """The content of every file by its name."""
        folders = (self.shards, self.index)
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A dataset of three videos and three images, and a plan for it."""
    root = tmp_path_factory.mktemp("workspace")
    made = Workspace(root / "dataset", root / "plan")
    for folder in (made.dataset / "videos", made.dataset / "images", made.plan):
        folder.mkdir(parents=True)
    write_video(made.dataset / "videos/a.mp4", Kind(".mp4", options={"g": "12"}))
    write_video(made.dataset / "videos/b.mkv", Kind(".mkv", options={"g": "12"}))
    write_video(made.dataset / "videos/c.avi", Kind(".avi", "mpeg4", {"b": "900k"}))
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for name in ("d.jpg", "e.png", "f.png"):
        Image.fromarray(noise).save(made.dataset / "images" / name)
    split = Split("time-block", 0.2, 1.0, 0)
    write_plan(Plan("dataset", ("thing",), SOURCES, split, GROUPS), made.plan)
    rows = [
        {field.name: field.type.to_pandas_dtype()() for field in KEY_SCHEMA}
        | {"video": video, "frame": frame, "label": "thing"}
        for video, frame in KEYS
    ]
    pq.write_table(pa.Table.from_pylist(rows, KEY_SCHEMA), made.plan / KEYS_FILE)
    for group, names in enumerate(GROUPS):
        own = [row for row in BOXES if row["video"] in names]
        pq.write_table(pa.Table.from_pylist(own, schema=BOX_SCHEMA), made.boxes(group))
        pq.write_table(negative_table([]), made.negatives(group))
    return made


def test_empty_group_gives_empty_tables(workspace: Workspace, tmp_path: Path) -> None:
    out = workspace.extract(tmp_path, 2)
    schemas = (EXAMPLE_SCHEMA, OBJECT_SCHEMA, SHARD_SCHEMA)
    for file, schema in zip((EXAMPLES_FILE, OBJECTS_FILE, SHARDS_FILE), schemas, strict=True):
        assert pq.read_table(out.index / file).equals(schema.empty_table())
    assert list(out.shards.iterdir()) == []


# --- which frames ---


def test_extracts_the_planned_frames_and_the_key_frames(
    workspace: Workspace, tmp_path: Path
) -> None:
    out = workspace.extract(tmp_path, every=4)
    assert out.frames == {
        "images/d.jpg": [0],
        "images/e.png": [0],
        "videos/a.mp4": [0, 4, 7, 8, 12, 16, 40, 44, 45, 48],
        "videos/b.mkv": [0, 12, 20],
    }
    for row, example in zip(out.rows, out.examples, strict=True):
        if row["video"].startswith("videos"):
            assert number_of(example.jpeg) == row["frame"]
            assert example.filename == f"{row['video']}/{row['frame']:06d}.jpg"
    ids = [row["source_id"] for row in out.rows]
    assert ids == sorted(set(ids))


def test_records_of_each_side_are_in_shards_of_their_own(
    workspace: Workspace, tmp_path: Path
) -> None:
    out = workspace.extract(tmp_path, every=4)
    sides = {"train": ("train-0000-00000.tfrecord",), "val": ("val-0000-00000.tfrecord",)}
    assert sorted(path.name for path in out.shards.iterdir()) == [*sides["train"], *sides["val"]]
    for side, (name,) in sides.items():
        ids = [parse(record).source_id for record in read_records(out.shards / name)]
        assert ids == [row["source_id"] for row in out.rows if row["split"] == side]


def test_frames_without_boxes_train_only_as_mined(workspace: Workspace, tmp_path: Path) -> None:
    boxes = [row for row in BOXES if row["frame"] in (3, 43) and row["video"] == "videos/a.mp4"]
    mined = [
        ("videos/a.mp4", 3, "crop", 40.0, 20.0, 140.0, 84.0),
        ("videos/a.mp4", 11, "frame", 0.0, 0.0, float(WIDTH), float(HEIGHT)),
    ]
    out = workspace.extract(tmp_path / "out", boxes=boxes, negatives=mined, every=1)
    found = [(row["video"], row["frame"], row["split"], row["kind"]) for row in out.rows]
    covered = [
        ("videos/a.mp4", frame, "val", "frame" if frame == 43 else "background")
        for frame in range(40, 46)  # until the last key
    ]
    assert found == [
        ("images/e.png", 0, "val", "background"),
        ("videos/a.mp4", 3, "train", "frame"),
        ("videos/a.mp4", 3, "train", "crop"),
        ("videos/a.mp4", 11, "train", "background"),
        *covered,
    ]
    objects = pq.read_table(out.index / OBJECTS_FILE).to_pylist()
    assert [row["source_id"] for row in objects] == [607, 687]


def test_default_is_ten_frames_a_second(workspace: Workspace, tmp_path: Path) -> None:
    frames = workspace.extract(tmp_path, 1).frames["videos/c.avi"]
    assert len(frames) == 60 * 10 / 25
    assert set(np.diff(frames)) == {2, 3}


@pytest.mark.parametrize("together", [1, 2, 256])
def test_images_in_a_group_are_in_order(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """However many are read side by side."""
    monkeypatch.setattr(frame_extraction, "_IMAGES", together)
    out = workspace.extract(tmp_path / "out", boxes=[*BOXES[:2], box("images/f.png", 0)])
    names = [row["video"] for row in out.rows]
    assert names[:3] == ["images/d.jpg", "images/e.png", "images/f.png"]
    assert [row["source_id"] for row in out.rows[:3]] == [1, 201, 401]


def test_a_file_that_has_changed_since_it_was_planned(workspace: Workspace, tmp_path: Path) -> None:
    size = (workspace.dataset / "videos/a.mp4").stat().st_size
    sources = [
        replace(source, file_bytes=size + 1) if source.name == "videos/a.mp4" else source
        for source in SOURCES
    ]
    split = Split("time-block", 0.2, 1.0, 0)
    plan = tmp_path / "plan"
    shutil.copytree(workspace.plan, plan)
    write_plan(Plan("dataset", ("thing",), tuple(sources), split, GROUPS), plan)
    with pytest.raises(InputError, match=r"a\.mp4.*had .* when the run was planned.*new run"):
        replace(workspace, plan=plan).extract(tmp_path / "out", boxes=BOXES, negatives=[])


# --- pictures ---


def test_images_pass_through(workspace: Workspace, tmp_path: Path) -> None:
    out = workspace.extract(tmp_path)
    _, example = out.of("images/d.jpg")
    assert example.jpeg == (workspace.dataset / "images/d.jpg").read_bytes()


def test_a_picture_has_its_boxes(workspace: Workspace, tmp_path: Path) -> None:
    boxes = [
        box("images/d.jpg", 0, occluded=True),
        box("images/d.jpg", 0, 1, xmin=-4.0, xmax=24.0, ymax=200.0, difficult=True),
        box("images/d.jpg", 0, 2, crowd=True, label=""),
    ]
    row, example = workspace.extract(tmp_path / "out", boxes=boxes).of("images/d.jpg")
    assert (example.width, example.height) == (row["width"], row["height"]) == (48, 32)
    in_pixels = (example.boxes * [48, 32, 48, 32]).round(4).tolist()
    assert in_pixels[:2] == [[8, 4, 32, 20], [0, 4, 24, 32]]
    assert example.labels == ["thing"] * 3
    assert example.class_ids.tolist() == [1, 1, 1]
    assert example.occluded.tolist() == [True, False, False]
    assert example.truncated.tolist() == [False, True, False]
    assert example.difficult.tolist() == [False, True, False]
    assert example.crowd.tolist() == [False, False, True]


def test_longest_side_keeps_the_source_size(workspace: Workspace, tmp_path: Path) -> None:
    out = workspace.extract(tmp_path, longest_side=44)
    rows = {row["video"]: row for row in out.rows}
    video, image = rows["videos/a.mp4"], rows["images/d.jpg"]
    assert [video[k] for k in ("width", "height", "xmax", "ymax")] == [44, 28, WIDTH, HEIGHT]
    assert [image[k] for k in ("width", "xmax")] == [44, 48]
    _, example = out.of("images/d.jpg")
    assert example.boxes[0, 0] == pytest.approx(8 / 48), "shares of the picture"


def test_crops_are_cut(workspace: Workspace, tmp_path: Path) -> None:
    mined = [("images/d.jpg", 0, "crop", 0.0, 21.0, 24.0, 32.0)]
    out = workspace.extract(tmp_path / "out", boxes=BOXES[:1], negatives=mined)
    (frame, crop), rows = out.examples[:2], out.rows[:2]
    assert [row["kind"] for row in rows] == ["frame", "crop"]
    assert crop.filename == "images/d.jpg/000000+0+21+24+32.jpg"
    assert (crop.width, crop.height, len(crop.boxes)) == (24, 11, 0)
    window = simplejpeg.decode_jpeg(frame.jpeg)[21:32, :24].astype(int)
    cut = simplejpeg.decode_jpeg(crop.jpeg).astype(int)
    assert cut.shape == window.shape
    assert np.abs(cut - window).mean() < 16, "noise, compressed twice"


# --- shards ---


def test_a_shard_ends_before_it_grows_too_large(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workspace.extract(tmp_path / "whole", every=4)
    small = partial(ShardWriter, shard_bytes=10_000)
    monkeypatch.setattr("kfdet.records.group.ShardWriter", small)
    cut = workspace.extract(tmp_path / "cut", every=4)
    train = sorted(cut.shards.glob("train-*"))
    assert [path.name for path in train] == [
        f"train-0000-{i:05d}.tfrecord" for i in range(len(train))
    ]
    assert len(train) > 2
    assert max(path.stat().st_size for path in train) <= 10_000
    joined = b"".join(path.read_bytes() for path in train)
    assert joined == (whole.shards / "train-0000-00000.tfrecord").read_bytes()
    assert [e.jpeg for e in cut.examples] == [e.jpeg for e in whole.examples]
    for file in (EXAMPLES_FILE, OBJECTS_FILE):
        assert (cut.index / file).read_bytes() == (whole.index / file).read_bytes()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("", "../shards"),
        ("/somewhere/else", "../shards"),
        (f"minio://{BUCKET}/runs/1/shards", f"minio://{BUCKET}/runs/1/shards"),
    ],
)
def test_the_tables_say_whose_they_are_and_where_the_shards_will_be(
    workspace: Workspace, tmp_path: Path, address: str, place: str
) -> None:
    out = workspace.extract(tmp_path, 1, address=address)
    assert json.loads((out.index / "group.json").read_text()) == {"number": 1, "place": place}
    assert pq.read_table(out.index / "boxes.parquet").equals(pq.read_table(workspace.boxes(1)))


def test_same_input_same_bytes_whatever_the_cores(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for cores in (1, 2, 7):
        monkeypatch.setattr("kfdet.stages.frame_extraction.count_cores", lambda cores=cores: cores)
        written.append(workspace.extract(tmp_path / str(cores)).files())
    assert written[0] == written[1] == written[2]


# --- datasets in a bucket ---


@pytest.mark.parametrize("group", [0, 2])
def test_a_dataset_in_a_bucket_gives_the_same_bytes_and_only_its_sources_travel(
    group: int,
    workspace: Workspace,
    tmp_path: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    object_store.put(workspace.dataset, "toys")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    local = workspace.extract(tmp_path / "local", group)
    object_store.log.clear()
    remote = workspace.extract(tmp_path / "remote", group, dataset=f"minio://{BUCKET}/toys")
    assert local.files() == remote.files()
    fetched = [line for line in object_store.log if line.startswith(f"GET {BUCKET}/toys/")]
    names = [name for name in GROUPS[group] if name != "images/f.png"]
    assert sorted(fetched) == sorted(f"GET {BUCKET}/toys/{name}" for name in names)
    assert not list(scratch.iterdir())


def test_one_video_is_held_at_a_time(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[str]] = []

    @contextmanager
    def watched(dataset: str, names: Sequence[str]) -> Iterator[Path]:
        assert not any(held), "the copy of the video before is removed"
        held.append(list(names))
        copied.append(list(names))
        with local_dataset(dataset, names) as folder:
            yield folder
        held.clear()

    copied: list[list[str]] = []
    monkeypatch.setattr(frame_extraction, "local_dataset", watched)
    workspace.extract(tmp_path)
    assert copied == [["images/d.jpg", "images/e.png"], ["videos/a.mp4"], ["videos/b.mkv"]]


def test_a_source_that_is_no_longer_in_the_bucket(
    workspace: Workspace, tmp_path: Path, object_store: ObjectStore
) -> None:
    object_store.put(workspace.dataset / "images", "toys/images")
    problem = f"minio://{BUCKET}/toys: videos/a.mp4 is no longer in the bucket"
    with pytest.raises(InputError, match=problem):
        workspace.extract(tmp_path / "out", dataset=f"minio://{BUCKET}/toys")
    assert not list((tmp_path / "out").glob("*"))


# --- progress and trouble ---


def test_progress_ends_at_the_total(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the frames: some have no boxes, of f.png nothing is used."""
    log = tmp_path / "events"
    monkeypatch.setenv("KFDET_EVENTS", str(log))
    workspace.extract(tmp_path / "out", boxes=BOXES[: 2 + 45])
    events = [json.loads(line) for line in log.read_text().splitlines()]
    done = [event["done"] for event in events if event["event"] == "progress"]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert last["done"] == last["total"]
    assert done == sorted(done)


def _losing(monkeypatch: pytest.MonkeyPatch, lost: set[int]) -> None:
    """Frames of every video do not decode."""
    extract = frame_extraction.extract

    def some(*args: Any, **options: Any) -> Iterator[Any]:
        return (frame for frame in extract(*args, **options) if frame.frame not in lost)

    monkeypatch.setattr(frame_extraction, "extract", some)


def test_some_missing_key_frames_are_a_warning(
    workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    _losing(monkeypatch, {7, 9})
    out = workspace.extract(tmp_path, every=1)
    assert set(out.frames["videos/a.mp4"]) == {*range(20), *range(40, 50)} - {7, 9}
    assert "videos/a.mp4: 1 of 2 labelled key frames could not be read" in caplog.text
    assert "the first is frame 7" in caplog.text
    assert "videos/b.mkv" not in caplog.text


def test_missing_frames_between_keys_are_not_worth_a_word(
    workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    _losing(monkeypatch, {9})
    workspace.extract(tmp_path, every=1)
    assert not caplog.records


def test_no_key_frame_at_all_is_an_error(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _losing(monkeypatch, {7, 45})
    problem = "videos/a.mp4: none of its 2 labelled key frames could be read. Is the video damaged"
    with pytest.raises(InputError, match=re.escape(problem)):
        workspace.extract(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


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
    options: dict[str, Any],
    problem: str,
) -> None:
    dataset = tmp_path / "dataset"
    for source in (path for path in workspace.dataset.rglob("*") if path.is_file()):
        target = dataset / source.relative_to(workspace.dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    if break_it:
        break_it(dataset)
    with pytest.raises(InputError, match=re.escape(problem)):
        workspace.extract(tmp_path / "out", dataset=str(dataset), **options)
    assert not list((tmp_path / "out").glob("*"))


def test_full_disk_leaves_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def open_full(path: Path, mode: str = "r", **options: Any) -> Any:
        # The kernel itself answers "no space left" to every write to this device.
        full = path.suffix == ".tfrecord" and "w" in mode
        return opened(Path("/dev/full") if full else path, mode, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(InputError, match=r"No space left on device.*Free some space"):
        workspace.extract(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))
