"""TFRecord files in the schema of the TF Object Detection API, without TensorFlow.

Importing TensorFlow takes seconds; protobuf and crc32c are all that writing needs.

Sources: the record framing and the masked checksum are those of TensorFlow's
tensorflow/core/lib/io/record_writer.h and tensorflow/core/lib/hash/crc32c.h; the messages are its
tensorflow/core/example/{example,feature}.proto and the Object Detection API's
object_detection/protos/string_int_label_map.proto; the feature names are those of
object_detection/dataset_tools and official/vision/dataloaders/tf_example_decoder.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from kfdet.boxes.tables import SIDES, Boxes
from kfdet.errors import InputError
from kfdet.files import read_whole

SHARD_BYTES = 1024 * 1024 * 1024
"""A shard ends before it grows beyond this: a store takes it in one upload, and a reader that wants
one of its records need not take all of it."""

CHECKSUM_BYTES = 4
"""After the data of each record."""

LABEL_MAP_FILE = "label_map.pbtxt"

_MASK_DELTA = 0xA282EAD8
_HEADER_BYTES = 12
_AGAIN = "Build the TFRecords again."
_FIELD = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One picture and its boxes.

    Args:
        source_id: Unique over a dataset; Model Garden's evaluation takes integers only.
        filename: A name for people.
        jpeg: The encoded picture.
        width: Pixels of the picture.
        height: Pixels of the picture.
        boxes: Shape (N, 4): xmin, ymin, xmax, ymax as shares of width and height, 0..1.
        labels: Label names, one per box.
        class_ids: Shape (N,), from 1.
        occluded: Shape (N,), bool.
        truncated: Shape (N,), bool: the box ends at the edge of the picture.
        crowd: Shape (N,), bool: a region that may hold any number of objects, which is not judged;
            empty: no box is one.
        difficult: Shape (N,), bool: the box trains, but is not scored; empty: no box is.
    """

    source_id: int
    filename: str
    jpeg: bytes
    width: int
    height: int
    boxes: Boxes
    labels: Sequence[str]
    class_ids: npt.NDArray[np.int64]
    occluded: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    crowd: npt.NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros(0, bool))
    difficult: npt.NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        for name in ("crowd", "difficult"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(len(self.boxes), bool))


def serialize(example: Example) -> bytes:
    """The tf.train.Example of one picture; the same picture gives the same bytes."""
    message = _Example()
    feature = message.features.feature

    def put(name: str, kind: str, values: Iterable[Any]) -> None:
        getattr(feature[f"image/{name}"], kind).value.extend(values)

    xmin, ymin, xmax, ymax = example.boxes.astype(np.float32).T
    size = np.array([example.width, example.height] * 2)
    left, top, right, bottom = (example.boxes * size).T
    put("encoded", "bytes_list", [example.jpeg])
    put("format", "bytes_list", [b"jpeg"])
    put("height", "int64_list", [example.height])
    put("width", "int64_list", [example.width])
    put("source_id", "bytes_list", [str(example.source_id).encode()])
    put("filename", "bytes_list", [example.filename.encode()])
    put("key/sha256", "bytes_list", [hashlib.sha256(example.jpeg).hexdigest().encode()])
    put("object/bbox/xmin", "float_list", xmin.tolist())
    put("object/bbox/xmax", "float_list", xmax.tolist())
    put("object/bbox/ymin", "float_list", ymin.tolist())
    put("object/bbox/ymax", "float_list", ymax.tolist())
    put("object/class/text", "bytes_list", [label.encode() for label in example.labels])
    put("object/class/label", "int64_list", example.class_ids.tolist())
    put("object/area", "float_list", ((right - left) * (bottom - top)).tolist())
    put("object/is_crowd", "int64_list", example.crowd.astype(int).tolist())
    put("object/difficult", "int64_list", example.difficult.astype(int).tolist())
    put("object/truncated", "int64_list", example.truncated.astype(int).tolist())
    put("object/occluded", "int64_list", example.occluded.astype(int).tolist())
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def parse(record: bytes) -> Example:
    """The example that `serialize` made `record` of.

    Raises:
        InputError: It is not a tf.train.Example with a picture of that kind.
    """
    message = _Example()
    try:
        message.ParseFromString(record)
    except DecodeError as error:
        raise InputError(f"this record is not a tf.train.Example: {error}.") from error
    feature = message.features.feature

    def get(name: str, kind: str) -> Any:
        return getattr(feature[f"image/{name}"], kind).value

    try:
        sides = [get(f"object/bbox/{side}", "float_list") for side in SIDES]
        return Example(
            source_id=int(get("source_id", "bytes_list")[0]),
            filename=get("filename", "bytes_list")[0].decode(),
            jpeg=get("encoded", "bytes_list")[0],
            width=get("width", "int64_list")[0],
            height=get("height", "int64_list")[0],
            boxes=np.array(sides, np.float64).T.reshape(-1, 4),
            labels=[label.decode() for label in get("object/class/text", "bytes_list")],
            class_ids=np.array(get("object/class/label", "int64_list"), np.int64),
            occluded=np.array(get("object/occluded", "int64_list"), bool),
            truncated=np.array(get("object/truncated", "int64_list"), bool),
            crowd=np.array(get("object/is_crowd", "int64_list"), bool),
            difficult=np.array(get("object/difficult", "int64_list"), bool),
        )
    except (IndexError, ValueError) as error:
        raise InputError(
            f"a record lacks a feature that kfdet writes: {error}.",
            hint="Build the TFRecords again.",
        ) from error


class ShardWriter:
    """Writes records one after the other as `<start>-00000.tfrecord`, `<start>-00001.tfrecord`, ...

    Args:
        folder: Existing folder.
        start: Of the names.
        shard_bytes: Most bytes of a shard, unless it holds a single record.
    """

    def __init__(self, folder: Path, start: str, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder, self._start, self._shard_bytes = folder, start, shard_bytes
        self._shards, self._name = 0, ""
        self._file: IO[bytes] | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, record: bytes) -> tuple[str, int]:
        """Append a record; the name of its shard, and the offset of its data there."""
        size = len(record) + _HEADER_BYTES + CHECKSUM_BYTES
        if self._file is not None and self._file.tell() + size > self._shard_bytes:
            self._close()
        if self._file is None:
            self._name = f"{self._start}-{self._shards:05d}.tfrecord"
            self._file = (self._folder / self._name).open("wb")
            self._shards += 1
        offset = self._file.tell() + _HEADER_BYTES
        self._file.writelines(_framed(record))
        return self._name, offset

    def _close(self) -> None:
        if self._file is not None:
            with self._file:
                self._file = None


def read_records(path: Path) -> Iterator[bytes]:
    """The records of one file, checksums checked.

    Raises:
        InputError: The file is cut off or damaged.
    """
    with path.open("rb") as file:
        while header := file.read(_HEADER_BYTES):
            if len(header) < _HEADER_BYTES or _masked_crc(header[:8]) != header[8:]:
                raise InputError("a record's header is damaged.", file=path, hint=_AGAIN)
            (length,) = struct.unpack("<Q", header[:8])
            yield checked(file.read(length + CHECKSUM_BYTES), length, path)


def checked(data: bytes, length: int, file: Path | str) -> bytes:
    """The record of `length` bytes at the start of `data`, which ends with its checksum.

    Args:
        data: What was read.
        length: Of the record without its checksum.
        file: For the message.

    Raises:
        InputError: It is cut off or damaged.
    """
    record = data[:length]
    if len(data) < length + CHECKSUM_BYTES or _masked_crc(record) != data[length:]:
        raise InputError("a record is cut off or damaged.", file=file, hint=_AGAIN)
    return record


def checksum(record: bytes) -> int:
    """CRC32C of a record."""
    crc: int = google_crc32c.value(record)
    return crc


def _framed(record: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """uint64 length, its masked checksum, the data, its masked checksum."""
    length = struct.pack("<Q", len(record))
    return length, _masked_crc(length), record, _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = checksum(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


# --- label maps ---


def write_label_map(path: Path, labels: Sequence[str]) -> None:
    """Write `labels` as a StringIntLabelMap in text form, ids from 1."""
    message = _LabelMap()
    for number, label in enumerate(labels, 1):
        message.item.add(name=label, id=number)
    path.write_text(text_format.MessageToString(message, as_utf8=True), encoding="utf-8")


def read_label_map(path: Path) -> dict[int, str]:
    """Names by id, from any StringIntLabelMap in text form (label_map.pbtxt).

    Raises:
        InputError: The file is missing or not a label map, or an id is missing, not positive or
            used twice.
    """
    message = _LabelMap()
    try:
        text_format.Parse(read_whole(path).decode(), message, allow_unknown_field=True)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path, hint=_AGAIN) from error
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        line = error.GetLine() if isinstance(error, text_format.ParseError) else None
        raise InputError(
            "this is not a label map.",
            file=path,
            line=line,
            hint='Give entries such as item { id: 1 name: "mug" }.',
        ) from error
    names: dict[int, str] = {}
    for item in message.item:
        if item.id < 1 or item.id in names:
            raise InputError(
                f"the id {item.id} of {item.name!r} is missing, not positive or used twice.",
                file=path,
                hint="Number the labels from 1.",
            )
        names[item.id] = item.name
    return names


# --- messages ---


def _build(name: str, messages: Mapping[str, descriptor_pb2.DescriptorProto], root: str) -> Any:
    """The class of message `root`, in a pool of its own: TensorFlow may register the same names."""
    file = descriptor_pb2.FileDescriptorProto(name=name, package="kfdet", syntax="proto3")
    file.message_type.extend(messages.values())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"kfdet.{root}"))


def _message(name: str, *fields: tuple[str, int, int | str, bool]) -> Any:
    """A message; each field is name, number, type (or the message's name), whether repeated."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for field, number, kind, repeated in fields:
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        added = message.field.add(name=field, number=number, label=label)
        if isinstance(kind, str):
            added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".kfdet.{kind}"
        else:
            added.type = kind
    return message


def _example_class() -> Any:
    kinds = {
        "BytesList": _FIELD.TYPE_BYTES,
        "FloatList": _FIELD.TYPE_FLOAT,
        "Int64List": _FIELD.TYPE_INT64,
    }
    messages = {name: _message(name, ("value", 1, kind, True)) for name, kind in kinds.items()}
    feature = messages["Feature"] = _message(
        "Feature",
        ("bytes_list", 1, "BytesList", False),
        ("float_list", 2, "FloatList", False),
        ("int64_list", 3, "Int64List", False),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = messages["Features"] = _message(
        "Features", ("feature", 1, "Features.FeatureEntry", True)
    )
    entry = _message(
        "FeatureEntry", ("key", 1, _FIELD.TYPE_STRING, False), ("value", 2, "Feature", False)
    )
    entry.options.map_entry = True
    features.nested_type.append(entry)
    messages["Example"] = _message("Example", ("features", 1, "Features", False))
    return _build("kfdet/example.proto", messages, "Example")


def _label_map_class() -> Any:
    item = _message(
        "Item",
        ("name", 1, _FIELD.TYPE_STRING, False),
        ("id", 2, _FIELD.TYPE_INT32, False),
    )
    whole = _message("LabelMap", ("item", 1, "Item", True))
    return _build("kfdet/label_map.proto", {"Item": item, "LabelMap": whole}, "LabelMap")


_Example = _example_class()
_LabelMap = _label_map_class()
