"""Records are read back by TensorFlow and by Model Garden's decoder, not just by our own reader."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from kfdet.errors import InputError
from kfdet.records.tfrecord import (
    CHECKSUM_BYTES,
    SHARD_BYTES,
    Example,
    ShardWriter,
    checked,
    parse,
    read_label_map,
    read_records,
    serialize,
    write_label_map,
)

BOXES = {
    "none": [],
    "one": [(0.1, 0.2, 0.5, 0.75)],
    "whole picture": [(0.0, 0.0, 1.0, 1.0)],
    "many": [(i / 300, 0.01, i / 300 + 0.1, 1 / 3) for i in range(150)],
}


def _example(boxes: list[tuple[float, ...]], source_id: int = 7) -> Example:
    rng = np.random.default_rng(source_id)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    count = len(boxes)
    return Example(
        source_id=source_id,
        filename="videos/Straße 1.mp4/000012.jpg",
        jpeg=simplejpeg.encode_jpeg(picture),
        width=64,
        height=48,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=['Fußgänger\'s "dog"'] * count,
        class_ids=np.arange(1, count + 1),
        occluded=np.arange(count) % 2 == 1,
        truncated=np.arange(count) % 3 == 1,
        crowd=np.arange(count) % 4 == 3,
        difficult=np.arange(count) % 5 == 2,
    )


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_what_is_serialized_is_parsed(boxes: list[tuple[float, ...]]) -> None:
    example = _example(boxes)
    parsed = parse(serialize(example))
    assert np.allclose(parsed.boxes, example.boxes, atol=1e-7)
    assert parsed.boxes.shape == example.boxes.shape
    for name in ("source_id", "filename", "jpeg", "width", "height", "labels"):
        assert getattr(parsed, name) == getattr(example, name), name
    for name in ("class_ids", "occluded", "truncated", "crowd", "difficult"):
        assert getattr(parsed, name).tolist() == getattr(example, name).tolist(), name


@pytest.mark.parametrize("record", [b"", b"no message"])
def test_other_records_are_not_parsed(record: bytes) -> None:
    with pytest.raises(InputError, match="record"):
        parse(record)


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    return pytest.importorskip("tensorflow")


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_tensorflow_reads_every_field(tensorflow: Any, boxes: list[tuple[float, ...]]) -> None:
    tf = tensorflow
    example = _example(boxes)
    texts = ("encoded", "format", "source_id", "filename", "key/sha256")
    floats = ("bbox/xmin", "bbox/ymin", "bbox/xmax", "bbox/ymax", "area")
    integers = ("class/label", "is_crowd", "difficult", "truncated", "occluded")
    spec = {
        **{f"image/{name}": tf.io.FixedLenFeature([], tf.string) for name in texts},
        **{f"image/{name}": tf.io.FixedLenFeature([], tf.int64) for name in ("width", "height")},
        **{f"image/object/{name}": tf.io.VarLenFeature(tf.float32) for name in floats},
        **{f"image/object/{name}": tf.io.VarLenFeature(tf.int64) for name in integers},
        "image/object/class/text": tf.io.VarLenFeature(tf.string),
    }
    parsed = tf.io.parse_example([serialize(example)], spec)
    read = {
        name.removeprefix("image/").removeprefix("object/"): (
            value.values.numpy() if isinstance(value, tf.SparseTensor) else value.numpy()[0]
        )
        for name, value in parsed.items()
    }
    assert read["encoded"] == example.jpeg
    assert read["format"] == b"jpeg"
    assert read["source_id"] == b"7"
    assert read["filename"].decode() == example.filename
    assert read["key/sha256"].decode() == hashlib.sha256(example.jpeg).hexdigest()
    assert (read["width"], read["height"]) == (64, 48)
    for column, name in enumerate(floats[:4]):
        assert np.array_equal(read[name], example.boxes[:, column].astype(np.float32))
    sides = example.boxes[:, 2:] - example.boxes[:, :2]
    assert read["area"] == pytest.approx(sides.prod(axis=1) * 64 * 48, rel=1e-6)
    assert np.array_equal(read["class/label"], example.class_ids)
    assert [text.decode() for text in read["class/text"]] == list(example.labels)
    assert np.array_equal(read["occluded"], example.occluded)
    assert np.array_equal(read["truncated"], example.truncated)
    assert np.array_equal(read["truncated"], example.truncated)
    assert np.array_equal(read["is_crowd"], example.crowd)
    assert np.array_equal(read["difficult"], example.difficult)


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_model_garden_decodes_it(tensorflow: Any, boxes: list[tuple[float, ...]]) -> None:
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    example = _example(boxes)
    decoded = TfExampleDecoder().decode(tensorflow.constant(serialize(example)))
    truth = example.boxes[:, [1, 0, 3, 2]].astype(np.float32)
    assert np.array_equal(decoded["groundtruth_boxes"].numpy(), truth)
    assert np.array_equal(decoded["groundtruth_classes"].numpy(), example.class_ids)
    assert decoded["groundtruth_is_crowd"].numpy().tolist() == example.crowd.tolist()
    assert decoded["image"].shape == (48, 64, 3)
    assert int(decoded["source_id"].numpy()) == 7
    assert (int(decoded["height"]), int(decoded["width"])) == (48, 64)


def test_same_example_same_bytes_as_tensorflow(tensorflow: Any) -> None:
    data = serialize(_example(BOXES["many"]))
    assert data == serialize(_example(BOXES["many"]))
    theirs = tensorflow.train.Example.FromString(data)
    assert theirs.SerializeToString(deterministic=True) == data


def test_no_box_is_a_region_or_difficult_unless_it_says_so() -> None:
    one = _example(BOXES["one"])
    plain = dataclasses.replace(one, crowd=np.zeros(0, bool), difficult=np.zeros(0, bool))
    assert parse(serialize(plain)).crowd.tolist() == [False]
    assert parse(serialize(plain)).difficult.tolist() == [False]


# --- shards ---


def _write(folder: Path, records: Iterable[bytes], shard_bytes: int = SHARD_BYTES) -> list[Path]:
    """The shards of some records; each one is where the writer says."""
    with ShardWriter(folder, "val-0003", shard_bytes) as writer:
        places = [(*writer.write(record), record) for record in records]
    for name, offset, record in places:
        data = (folder / name).read_bytes()[offset:]
        assert checked(data[: len(record) + CHECKSUM_BYTES], len(record), name) == record
    paths = sorted(folder.glob("val-0003-*"))
    assert [path.name for path in paths] == list(dict.fromkeys(name for name, _, _ in places))
    return paths


FRAME = 16
"""Bytes of a record beside its data."""


@pytest.mark.parametrize(
    ("sizes", "shard_bytes", "expected"),
    [
        ([], 100, []),
        ([0], 0, [[0]]),
        ([10] * 5, SHARD_BYTES, [[10] * 5]),
        ([10] * 5, 2 * (10 + FRAME), [[10, 10], [10, 10], [10]]),
        ([10] * 5, 2 * (10 + FRAME) - 1, [[10]] * 5),
        ([10, 500, 10, 10], 100, [[10], [500], [10, 10]]),
    ],
    ids=["nothing", "an empty record", "one shard", "just two", "hardly one", "a large record"],
)
def test_a_shard_ends_before_it_grows_too_large(
    tmp_path: Path, sizes: list[int], shard_bytes: int, expected: list[list[int]]
) -> None:
    records = [bytes([i]) * size for i, size in enumerate(sizes)]
    paths = _write(tmp_path, records, shard_bytes)
    assert [path.name for path in paths] == [
        f"val-0003-{i:05d}.tfrecord" for i in range(len(expected))
    ]
    read = [list(read_records(path)) for path in paths]
    assert [[len(record) for record in part] for part in read] == expected
    assert [record for part in read for record in part] == records


def test_shards_joined_are_the_same_bytes_however_they_are_cut(tmp_path: Path) -> None:
    records = [bytes([i]) * i for i in range(50)]
    joined = []
    for shard_bytes in (1, 100, 1000, SHARD_BYTES):
        (tmp_path / str(shard_bytes)).mkdir()
        paths = _write(tmp_path / str(shard_bytes), records, shard_bytes)
        joined.append(b"".join(path.read_bytes() for path in paths))
    assert set(joined) == {joined[0]}


def test_a_failure_closes_the_shard(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path, "train") as writer:
            writer.write(b"hello")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(read_records(tmp_path / "train-00000.tfrecord")) == [b"hello"]


def test_tensorflow_accepts_the_framing(tensorflow: Any, tmp_path: Path) -> None:
    records = [b"", b"a", bytes(range(256)) * 40]
    (ours,) = _write(tmp_path, records)
    assert list(tensorflow.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == records
    with tensorflow.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert ours.read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("damage", ["cut in header", "cut in data", "flipped data", "flipped size"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    (path,) = _write(tmp_path, [b"hello world"])
    data = bytearray(path.read_bytes())
    if damage.startswith("cut"):
        data = data[: 5 if "header" in damage else -3]
    else:
        data[14 if "data" in damage else 0] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{path}: .*Build the TFRecords again"):
        list(read_records(path))


@pytest.mark.parametrize("data", [b"", b"hello wor", b"hello world\0\0\0\0", b"hallo world"])
def test_a_record_that_is_not_what_was_written(data: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.tfrecord: a record is cut off or damaged"):
        checked(data, 11, "x.tfrecord")


# --- label maps ---


@pytest.mark.parametrize(
    "labels",
    [
        [],
        ["mug"],
        ["coffee mug", "Fußgänger", "日本", "it's", 'say "hi"', "back\\slash", "new\nline", "{ }"],
    ],
)
def test_label_map_round_trip(tmp_path: Path, labels: list[str]) -> None:
    path = tmp_path / "label_map.pbtxt"
    write_label_map(path, labels)
    assert read_label_map(path) == dict(enumerate(labels, 1))


def test_label_map_reads_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "label_map.pbtxt"
    path.write_text("item {\n\tid: 2\n\tname: 'BB-8'\n\tdisplay_name: 'droid'\n}\n\n# end\n")
    assert read_label_map(path) == {2: "BB-8"}


def test_label_map_is_plain_text(tmp_path: Path) -> None:
    write_label_map(tmp_path / "label_map.pbtxt", ["mug", "Fuß"])
    text = (tmp_path / "label_map.pbtxt").read_text(encoding="utf-8")
    assert text == 'item {\n  name: "mug"\n  id: 1\n}\nitem {\n  name: "Fuß"\n  id: 2\n}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"item {\n  id: 1\n  name: mug\n}\n", r"label_map.pbtxt:3: this is not a label map"),
        (b"a,b,c\n", "not a label map"),
        (b"\xff\xfe\x00", "not a label map"),
        (b'item { name: "a" }', "missing"),
        (b'item { id: 1 name: "a" } item { id: 1 name: "b" }', "used twice"),
        (b'item { id: -1 name: "a" }', "not positive"),
    ],
)
def test_bad_label_map(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "label_map.pbtxt"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_label_map(path)
