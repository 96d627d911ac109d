"""The whole stage on small real shards, read back with TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.files import read_zip
from kfdet.planning.plan import KEYS_FILE, Plan, Source, Split, write_plan
from kfdet.records import tfrecord
from kfdet.records.tfrecord import read_label_map, read_records
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.video.shards import FrameWriter

LABELS = ("coffee mug", "robot")
SIZE, STORED = (128, 96), (64, 48)
SIDES = ("xmin", "ymin", "xmax", "ymax")


def _source(name: str, train: Any = (), val: Any = ()) -> Source:
    return Source(name, "video", f"{name}.xml", *SIZE, 20, 10.0, 0, 19, 1, train, val)


def _boxes() -> list[dict[str, Any]]:
    rows = []
    for video in ("a b.mp4", "ü.mp4"):
        for frame in range(12):
            for track in range(frame % 3 + 1):
                left, top = 5 + 3.3 * frame + 30 * track, 4 + 2.1 * frame
                corners = (left, top, left + 21.7, min(top + 40.2, 60))
                row = {"video": video, "frame": frame, "track_id": track, "method": "linear"}
                row |= {"label": LABELS[track % 2], "occluded": track == 1, "keyframe": False}
                row |= {"difficult": False, "crowd": False}
                rows.append(row | dict(zip(SIDES, corners, strict=True)))
    return rows


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("inputs")
    sources = (_source("a b.mp4", train=((0, 19),)), _source("ü.mp4", val=((0, 19),)))
    plan = Plan("data", LABELS, sources, Split("video", 0.2, 3.0, 0), (("a b.mp4", "ü.mp4"),))
    (root / "plan").mkdir()
    write_plan(plan, root / "plan")
    key = {"track_id": 0, "label": "robot", "rotation": 0.0, "outside": True, "occluded": False}
    key |= dict.fromkeys(SIDES, 1.0) | {"line": 0}
    keys = [key | {"video": s.name, "frame": f} for s in sources for f in (0, 15)]
    pq.write_table(pa.Table.from_pylist(keys, schema=KEY_SCHEMA), root / "plan" / KEYS_FILE)
    rng = np.random.default_rng(0)
    for group, source in enumerate(sources):
        with FrameWriter(root / f"frames{group}") as writer:
            for frame in range(20):
                base = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
                picture = base.repeat(8, axis=0).repeat(8, axis=1)
                jpeg = simplejpeg.encode_jpeg(picture)
                writer.add(source.name, frame, jpeg, *STORED, *SIZE, frame / 10)
        rows = [row for row in _boxes() if row["video"] == source.name]
        pq.write_table(pa.Table.from_pylist(rows, schema=BOX_SCHEMA), root / f"boxes{group}")
    mined = [
        {"frame": 14, "kind": "frame", "xmin": 0.0, "ymin": 0.0, "xmax": 128.0, "ymax": 96.0},
        {"frame": 3, "kind": "crop", "xmin": 60.0, "ymin": 62.0, "xmax": 124.0, "ymax": 94.0},
    ]
    pq.write_table(
        pa.Table.from_pylist([{"video": "a b.mp4"} | row for row in mined]), root / "negatives"
    )
    return {
        "dataset": "data",
        "plan_dir": root / "plan",
        "boxes": [root / "boxes0", root / "boxes1"],
        "frames": [root / "frames0", root / "frames1"],
        "negatives": root / "negatives",
    }


def _build(inputs: dict[str, Any], root: Path, seed: int = 0) -> Path:
    build_tfrecords(**inputs, records=root / "records", all_boxes=root / "boxes.parquet", seed=seed)
    return root / "records"


@pytest.fixture(scope="module")
def records(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(inputs, tmp_path_factory.mktemp("built"))


def _hashes(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _read(records: Path, split: str) -> list[dict[str, Any]]:
    tf = pytest.importorskip("tensorflow")
    files = sorted(str(path) for path in records.glob(f"{split}-*.tfrecord"))
    spec = {
        **{f"image/{n}": tf.io.FixedLenFeature([], tf.string) for n in ("encoded", "source_id")},
        **{f"image/{n}": tf.io.FixedLenFeature([], tf.int64) for n in ("width", "height")},
        **{f"image/object/bbox/{side}": tf.io.VarLenFeature(tf.float32) for side in SIDES},
        "image/object/class/text": tf.io.VarLenFeature(tf.string),
        "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    }
    read = []
    for raw in tf.data.TFRecordDataset(files).as_numpy_iterator():
        parsed = tf.io.parse_single_example(raw, spec)
        dense = {k: getattr(v, "values", v).numpy() for k, v in parsed.items()}
        read.append({k.rsplit("/", 1)[-1]: v for k, v in dense.items()})
    return read


def test_folder_holds_what_later_stages_read(records: Path) -> None:
    names = {path.name for path in records.iterdir()}
    assert names == {
        "train-00000-of-00001.tfrecord",
        "val-00000-of-00001.tfrecord",
        "label_map.pbtxt",
        "examples.parquet",
        "dataset.json",
        "samples.zip",
    }
    assert read_label_map(records / "label_map.pbtxt") == dict(enumerate(LABELS, 1))
    described = json.loads((records / "dataset.json").read_text())
    counts = {split: described["counts"][split] for split in ("train", "val")}
    kinds = ("frame", "background", "crop")
    assert [counts["train"][kind] for kind in kinds] == [12, 1, 1]
    assert [counts["val"][kind] for kind in kinds] == [12, 4, 0]
    pictures = read_zip(records / "samples.zip")
    assert [sample["file"] for sample in described["samples"]] == list(pictures)
    assert all(simplejpeg.decode_jpeg(picture).ndim == 3 for picture in pictures.values())


def test_boxes_come_back_through_tensorflow(inputs: dict[str, Any], records: Path) -> None:
    rows = pq.read_table(records / "examples.parquet").to_pylist()
    by_id = {row["source_id"]: row for row in rows}
    assert sorted(by_id) == list(range(1, len(rows) + 1))
    seen = set()
    for split in ("train", "val"):
        for read in _read(records, split):
            example = by_id[int(read["source_id"])]
            seen.add(example["source_id"])
            assert example["split"] == split
            assert (read["width"], read["height"]) == (example["width"], example["height"])
            truth = [
                row
                for row in _boxes()
                if (row["video"], row["frame"]) == (example["video"], example["frame"])
                and example["kind"] == "frame"
            ]
            got = np.stack([read[side] for side in SIDES], axis=1) * [*SIZE, *SIZE]
            want = np.array([[row[side] for side in SIDES] for row in truth]).reshape(-1, 4)
            assert np.abs(got - want).max(initial=0) < 1e-4
            assert [t.decode() for t in read["text"]] == [row["label"] for row in truth]
            assert [LABELS[i - 1] for i in read["label"]] == [row["label"] for row in truth]
    assert seen == set(by_id)


def test_pictures_pass_through_and_crops_are_cut(inputs: dict[str, Any], records: Path) -> None:
    from kfdet.video.shards import FrameStore

    store = FrameStore([Path(folder) for folder in inputs["frames"]])
    rows = {r["source_id"]: r for r in pq.read_table(records / "examples.parquet").to_pylist()}
    for read in _read(records, "train"):
        row = rows[int(read["source_id"])]
        whole = store.read(row["video"], row["frame"])
        if row["kind"] == "crop":
            window = simplejpeg.decode_jpeg(whole)[31:47, 30:62].astype(int)
            cut = simplejpeg.decode_jpeg(read["encoded"]).astype(int)
            assert cut.shape == window.shape == (16, 32, 3)
            assert np.abs(cut - window).mean() < 3
        else:
            assert read["encoded"] == whole


def test_validation_keeps_the_order_and_training_does_not(records: Path) -> None:
    rows = {r["source_id"]: r for r in pq.read_table(records / "examples.parquet").to_pylist()}
    orders = {
        split: [rows[int(read["source_id"])]["source_id"] for read in _read(records, split)]
        for split in ("train", "val")
    }
    assert orders["val"] == sorted(orders["val"])
    assert orders["train"] != sorted(orders["train"])


def test_same_bytes_for_the_same_seed(
    inputs: dict[str, Any], records: Path, tmp_path: Path
) -> None:
    again = _hashes(_build(inputs, tmp_path / "again"))
    assert again == _hashes(records)
    swapped = {
        key: value[::-1] if key in ("boxes", "frames") else value for key, value in inputs.items()
    }
    assert _hashes(_build(swapped, tmp_path / "swapped")) == again, "whatever the order of groups"
    other = _hashes(_build(inputs, tmp_path / "other", seed=1))
    assert {name for name in again if other[name] != again[name]} == {
        "train-00000-of-00001.tfrecord"
    }
    ours, theirs = (
        sorted(read_records(folder / "train-00000-of-00001.tfrecord"))
        for folder in (records, tmp_path / "other" / "records")
    )
    assert ours == theirs


def test_large_datasets_get_shards(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "SHARD_BYTES", 5000)
    records = _build(inputs, tmp_path)
    files = sorted(path.name for path in records.glob("train-*.tfrecord"))
    assert len(files) > 1
    assert files[0] == f"train-00000-of-{len(files):05d}.tfrecord"
    assert sum(1 for name in files for _ in read_records(records / name)) == 14


def test_all_boxes_are_merged_in_order(inputs: dict[str, Any], tmp_path: Path) -> None:
    _build({**inputs, "boxes": inputs["boxes"][::-1]}, tmp_path)
    merged = pq.read_table(tmp_path / "boxes.parquet")
    assert merged.schema == BOX_SCHEMA
    assert merged.to_pylist() == _boxes()


# --- bad input ---


def _refused(inputs: dict[str, Any], root: Path) -> str:
    with pytest.raises(InputError) as error:
        _build(inputs, root)
    assert not root.exists() or not any(root.iterdir()), "nothing half-written"
    return str(error.value)


def test_no_boxes(inputs: dict[str, Any], tmp_path: Path) -> None:
    pq.write_table(BOX_SCHEMA.empty_table(), tmp_path / "none")
    bad = {**inputs, "boxes": [tmp_path / "none"]}
    assert "no box on any frame" in _refused(bad, tmp_path / "out")


@pytest.mark.parametrize(("kept", "missing"), [(0, "validation"), (1, "training")])
def test_one_sided(
    inputs: dict[str, Any],
    tmp_path: Path,
    kept: int,
    missing: str,
) -> None:
    empty = pq.read_table(inputs["negatives"]).slice(0, 0)
    pq.write_table(empty, tmp_path / "negatives")
    bad = {**inputs, "boxes": inputs["boxes"][kept : kept + 1]}
    bad["negatives"] = tmp_path / "negatives"
    message = _refused(bad, tmp_path / "out")
    assert f"no {missing} picture with a box" in message
    assert "val_share" in message


def test_frames_of_a_group_are_missing(inputs: dict[str, Any], tmp_path: Path) -> None:
    bad = {**inputs, "frames": inputs["frames"][1:]}
    assert "not extracted" in _refused(bad, tmp_path / "out")


def test_full_disk_leaves_nothing(
    inputs: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = Path.open

    def open_full(path: Path, mode: str = "r", **options: Any) -> Any:
        # The kernel itself answers "no space left" to every write to this device.
        full = path.suffix == ".tfrecord" and "w" in mode
        return opened(Path("/dev/full") if full else path, mode, **options)

    monkeypatch.setattr(Path, "open", open_full)
    message = _refused(inputs, tmp_path / "out")
    assert "No space left on device" in message
    assert "Free some space" in message
