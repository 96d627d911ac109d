"""Boxes cut off at the edges of their frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.planning.plan import Source

Floats = npt.NDArray[np.float64]
_SIDES = (("xmin", "width"), ("ymin", "height"), ("xmax", "width"), ("ymax", "height"))


def clip_keys(keys: pa.Table, sources: Iterable[Source]) -> pa.Table:
    """Clip key boxes (KEY_SCHEMA) to the frames of their sources.

    Rotated boxes stay as they are, since clipping would change their shape; the boxes that come of
    them are clipped after interpolation. So do outside keys, which show only where a box went.
    """
    plain = (keys["rotation"].to_numpy() == 0) & ~keys["outside"].to_numpy()
    sides = {
        name: np.where(plain, clipped, keys[name].to_numpy())
        for name, clipped in _clipped(keys, sources).items()
    }
    return _replace(keys, sides)


def clip_boxes(boxes: pa.Table, sources: Iterable[Source]) -> pa.Table:
    """Clip boxes (BOX_SCHEMA) to the frames of their sources; leave out those with nothing left."""
    sides = _clipped(boxes, sources)
    left = (sides["xmax"] > sides["xmin"]) & (sides["ymax"] > sides["ymin"])
    clipped = _replace(boxes, sides)
    return clipped if left.all() else clipped.filter(pa.array(left))


def _clipped(table: pa.Table, sources: Iterable[Source]) -> dict[str, Floats]:
    sources = list(sources)
    names = pa.array([source.name for source in sources], pa.string())
    row = pc.index_in(table["video"], value_set=names).to_numpy()
    sides = {}
    for name, size in _SIDES:
        largest = np.array([getattr(source, size) for source in sources], np.float64)
        sides[name] = np.clip(table[name].to_numpy(), 0, largest[row])
    return sides


def _replace(table: pa.Table, columns: dict[str, Floats]) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return table
