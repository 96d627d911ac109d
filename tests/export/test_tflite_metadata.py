from __future__ import annotations

from typing import Any

import pytest
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from kfdet.export.tflite_metadata import metadata


class Reader:
    """A table of a flatbuffer, its fields by their number in the schema."""

    def __init__(self, content: bytes, position: int) -> None:
        self.table = Table(bytearray(content), position)

    def _at(self, field: int) -> int:
        offset = self.table.Offset(4 + 2 * field)
        assert offset, f"field {field} is missing"
        return self.table.Pos + offset

    def text(self, field: int) -> str:
        return self.table.String(self._at(field)).decode()

    def number(self, field: int, flags: Any = number_types.Uint8Flags) -> float:
        return self.table.Get(flags, self._at(field))

    def inner(self, field: int) -> Reader:
        return Reader(self.table.Bytes, self.table.Indirect(self._at(field)))

    def tables(self, field: int) -> list[Reader]:
        start, count = self._vector(field)
        return [
            Reader(self.table.Bytes, self.table.Indirect(start + 4 * index))
            for index in range(count)
        ]

    def numbers(self, field: int, flags: Any) -> list[float]:
        start, count = self._vector(field)
        return [self.table.Get(flags, start + 4 * index) for index in range(count)]

    def _vector(self, field: int) -> tuple[int, int]:
        offset = self._at(field) - self.table.Pos
        return self.table.Vector(offset), self.table.VectorLen(offset)


@pytest.fixture(scope="module")
def subgraph() -> Reader:
    content = metadata("small", 288, 384, 0.25)
    assert content[4:8] == b"M001"
    model = Reader(content, encode.Get(packer.uoffset, content, 0))
    assert (model.text(0), model.text(7)) == ("small", "1.2.0")
    (subgraph,) = model.tables(3)
    return subgraph


def test_the_input_is_a_picture(subgraph: Reader) -> None:
    (image,) = subgraph.tables(2)
    content = image.inner(3)
    assert content.number(0) == 2  # image properties
    assert content.inner(1).number(0) == 1  # RGB
    size = content.inner(1).inner(1)
    assert [size.number(field, number_types.Uint32Flags) for field in (0, 1)] == [384, 288]
    (unit,) = image.tables(4)
    assert unit.number(0) == 1  # normalisation
    mean_and_deviation = [
        unit.inner(1).numbers(field, number_types.Float32Flags) for field in (0, 1)
    ]
    assert mean_and_deviation == [[0], [1]]


def test_the_outputs_have_the_names_that_the_task_libraries_look_for(subgraph: Reader) -> None:
    outputs = subgraph.tables(3)
    names = [each.text(0) for each in outputs]
    assert names == ["location", "category", "score", "number of detections"]
    assert [each.inner(3).number(0) for each in outputs] == [3, 1, 1, 1]
    box = outputs[0].inner(3).inner(1)
    assert box.numbers(0, number_types.Uint32Flags) == [1, 0, 3, 2]
    assert box.number(1) == 1  # boundaries
    (labels,) = outputs[1].tables(6)
    assert (labels.text(0), labels.number(2)) == ("labels.txt", 3)  # labels of a tensor's values
    (unit,) = outputs[2].tables(4)
    assert unit.number(0) == 3  # thresholding
    assert unit.inner(1).number(0, number_types.Float32Flags) == 0.25
    (group,) = subgraph.tables(8)
    assert group.text(0) == "detection_result"
