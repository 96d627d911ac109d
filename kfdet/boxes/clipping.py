"""Boxes cut off at the edges of their frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Sizes = Mapping[str, tuple[int, int]]
"""Width and height in pixels of every video and image, by name."""

_SIDES = (("xmin", 0), ("ymin", 1), ("xmax", 0), ("ymax", 1))
"""Columns, and which of width and height bounds them."""


def clip_keys(keys: pa.Table, sizes: Sizes) -> pa.Table:
    """Clip key boxes (KEY_SCHEMA) to their frames.

    Rotated boxes stay as they are, since clipping would change their shape; the boxes interpolated
    from them are clipped later. So do outside keys, which only mark where a box went.
    """
    plain = (keys["rotation"].to_numpy() == 0) & ~keys["outside"].to_numpy()
    for name, clipped in _clipped(keys, sizes):
        keys = _replace(keys, name, np.where(plain, clipped, keys[name].to_numpy()))
    return keys


def clip_boxes(boxes: pa.Table, sizes: Sizes) -> pa.Table:
    """Clip boxes (BOX_SCHEMA) to their frames; drop those with nothing left."""
    sides = dict(_clipped(boxes, sizes))
    left = (sides["xmax"] > sides["xmin"]) & (sides["ymax"] > sides["ymin"])
    for name, values in sides.items():
        boxes = _replace(boxes, name, values)
    return boxes if left.all() else boxes.filter(pa.array(left))


def _clipped(table: pa.Table, sizes: Sizes) -> Iterator[tuple[str, Floats]]:
    """The columns of the boxes, one after the other, as each takes much memory."""
    row = pc.index_in(table["video"], value_set=pa.array(list(sizes), pa.string())).to_numpy()
    largest = np.array(list(sizes.values()), np.float64).reshape(-1, 2)
    for name, axis in _SIDES:
        yield name, np.clip(table[name].to_numpy(), 0, largest[row, axis])


def _replace(table: pa.Table, name: str, values: Floats) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values))
