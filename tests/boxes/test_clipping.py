from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from kfdet.boxes.clipping import clip_boxes, clip_keys
from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA

SIZES = {"a.jpg": (400, 300), "v.mp4": (640, 360)}
SIDES = ("xmin", "ymin", "xmax", "ymax")


def row(schema: pa.Schema, video: str, box: tuple[float, ...], **more: Any) -> dict[str, Any]:
    blank = {field.name: field.type.to_pandas_dtype()() for field in schema}
    return blank | {"video": video} | dict(zip(SIDES, box, strict=True)) | more


def sides(table: pa.Table) -> list[tuple[float, ...]]:
    return list(zip(*(table[side].to_pylist() for side in SIDES), strict=True))


@pytest.mark.parametrize(
    ("video", "box", "more", "clipped"),
    [
        ("v.mp4", (1, 2, 3, 4), {}, (1, 2, 3, 4)),
        ("v.mp4", (-5, -6, 700, 400), {}, (0, 0, 640, 360)),
        ("a.jpg", (-5, -6, 700, 400), {}, (0, 0, 400, 300)),
        ("v.mp4", (-5, -6, 700, 400), {"rotation": 10.0}, (-5, -6, 700, 400)),
        ("v.mp4", (-50, 0, -5, 9), {"outside": True}, (-50, 0, -5, 9)),
    ],
)
def test_clip_keys(
    video: str, box: tuple[float, ...], more: dict[str, Any], clipped: tuple[float, ...]
) -> None:
    table = pa.Table.from_pylist([row(KEY_SCHEMA, video, box, **more)], KEY_SCHEMA)
    result = clip_keys(table, SIZES)
    assert result.schema == KEY_SCHEMA
    assert sides(result) == [clipped]


def test_clip_boxes_leaves_out_what_is_outside() -> None:
    boxes = [("a.jpg", (-5, 0, 9, 9)), ("a.jpg", (400, 0, 410, 9)), ("v.mp4", (600, 0, 700, 9))]
    table = pa.Table.from_pylist([row(BOX_SCHEMA, *box) for box in boxes], BOX_SCHEMA)
    result = clip_boxes(table, SIZES)
    assert result.schema == BOX_SCHEMA
    assert sides(result) == [(0, 0, 9, 9), (600, 0, 640, 9)]


@pytest.mark.parametrize(("clip", "schema"), [(clip_keys, KEY_SCHEMA), (clip_boxes, BOX_SCHEMA)])
def test_no_boxes(clip: Any, schema: pa.Schema) -> None:
    assert clip(schema.empty_table(), SIZES) == schema.empty_table()
