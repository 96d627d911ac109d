"""Records are read back by TensorFlow and by Model Garden's decoder, not just by our own reader."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from kfdet.errors import InputError
from kfdet.records.tfrecord import (
    SHARD_BYTES,
    Example,
    parse,
    read_label_map,
    read_records,
    serialize,
    write_label_map,
    write_shards,
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
        drawn=np.arange(count) % 2 == 0,
        tracks=np.arange(count) - 1,
        keys=np.arange(2 * count).reshape(-1, 2) - 1,
        hulls=np.array([(0.0, ymin, xmax, 1.0) for _, ymin, xmax, _ in boxes]).reshape(-1, 4),
    )


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_what_is_serialized_is_parsed(boxes: list[tuple[float, ...]]) -> None:
    example = _example(boxes)
    parsed = parse(serialize(example))
    assert np.allclose(parsed.boxes, example.boxes, atol=1e-7)
    assert parsed.boxes.shape == example.boxes.shape
    for name in ("source_id", "filename", "jpeg", "width", "height", "labels"):
        assert getattr(parsed, name) == getattr(example, name), name
    assert np.allclose(parsed.hulls, example.hulls, atol=1e-7)
    for name in ("class_ids", "occluded", "truncated", "drawn", "tracks", "keys"):
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
    integers = ("class/label", "is_crowd", "difficult", "truncated", "occluded", "drawn")
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
    assert read["is_crowd"].tolist() == read["difficult"].tolist() == [0] * len(boxes)


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_model_garden_decodes_it(tensorflow: Any, boxes: list[tuple[float, ...]]) -> None:
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    example = _example(boxes)
    decoded = TfExampleDecoder().decode(tensorflow.constant(serialize(example)))
    truth = example.boxes[:, [1, 0, 3, 2]].astype(np.float32)
    assert np.array_equal(decoded["groundtruth_boxes"].numpy(), truth)
    assert np.array_equal(decoded["groundtruth_classes"].numpy(), example.class_ids)
    assert decoded["groundtruth_is_crowd"].numpy().tolist() == [False] * len(boxes)
    assert decoded["image"].shape == (48, 64, 3)
    assert int(decoded["source_id"].numpy()) == 7
    assert (int(decoded["height"]), int(decoded["width"])) == (48, 64)


def test_same_example_same_bytes_as_tensorflow(tensorflow: Any) -> None:
    data = serialize(_example(BOXES["many"]))
    assert data == serialize(_example(BOXES["many"]))
    theirs = tensorflow.train.Example.FromString(data)
    assert theirs.SerializeToString(deterministic=True) == data


@pytest.mark.parametrize(
    ("count", "total_bytes", "names", "sizes"),
    [
        (0, 0, ["val-00000-of-00001.tfrecord"], [0]),
        (5, 100, ["val-00000-of-00001.tfrecord"], [5]),
        (
            5,
            SHARD_BYTES + 1,
            ["val-00000-of-00002.tfrecord", "val-00001-of-00002.tfrecord"],
            [2, 3],
        ),
        (
            20,
            SHARD_BYTES * 900,
            [f"val-0000{i}-of-00006.tfrecord" for i in range(6)],
            [3, 3, 4] * 2,
        ),
        (2, SHARD_BYTES * 9, [f"val-0000{i}-of-00002.tfrecord" for i in range(2)], [1, 1]),
    ],
)
def test_shards(
    tmp_path: Path, count: int, total_bytes: int, names: list[str], sizes: list[int]
) -> None:
    records = [bytes([i]) * i for i in range(count)]
    paths = write_shards(tmp_path, "val", iter(records), count, total_bytes)
    assert [path.name for path in paths] == names == sorted(p.name for p in tmp_path.iterdir())
    read = [list(read_records(path)) for path in paths]
    assert [len(part) for part in read] == sizes
    assert [record for part in read for record in part] == records


@pytest.mark.parametrize("count", [2, 4])
def test_wrong_count_is_a_mistake_of_the_caller(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="records"):
        write_shards(tmp_path, "val", [b"x"] * 3, count, 3)


def test_tensorflow_accepts_the_framing(tensorflow: Any, tmp_path: Path) -> None:
    records = [b"", b"a", bytes(range(256)) * 40]
    (ours,) = write_shards(tmp_path, "train", records, 3, 0)
    assert list(tensorflow.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == records
    with tensorflow.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert ours.read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("damage", ["cut in header", "cut in data", "flipped data", "flipped size"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    (path,) = write_shards(tmp_path, "train", [b"hello world"], 1, 0)
    data = bytearray(path.read_bytes())
    if damage.startswith("cut"):
        data = data[: 5 if "header" in damage else -3]
    else:
        data[14 if "data" in damage else 0] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=str(path)):
        list(read_records(path))


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
