"""Which of the examples of all groups are used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.errors import InputError

MOST_MEASURED = 20_000
"""Pictures of a side that measures. More would not tell more: with 20,000 of them the interval of
AP50 is a few thousandths wide, while time and memory would grow on."""

_REMEDIES = {
    "train": ("training", "lower val_share"),
    "val": ("validation", "raise val_share"),
    "test": ("test", "choose a larger test side"),
}


def kept_examples(examples: pa.Table, *, trains: bool, tests: bool) -> npt.NDArray[np.int64]:
    """The rising `source_id` of the used examples: all, but of a side that measures the most.

    Args:
        examples: source_id, split, kind and measured of all examples, in their order.
        trains: Whether there is a training side; a model may only be measured.
        tests: Whether there is a test side.

    Raises:
        InputError: A side has no picture with a box.
    """
    kept = [np.zeros(0, np.int64)]
    sides = [*(["train"] if trains else []), "val", *(["test"] if tests else [])]
    for side in sides:
        own = examples.filter(pc.equal(examples["split"], side))
        if not pc.any(pc.equal(own["kind"], "frame")).as_py():
            name, remedy = _REMEDIES[side]
            raise InputError(
                f"there is no {name} picture with a box.",
                hint=f"Label more frames or videos, or {remedy}.",
            )
        ids = own["source_id"].to_numpy()
        if side != "train":
            ids = ids[_at_most(own["measured"].to_numpy(), MOST_MEASURED)]
        kept.append(ids)
    return np.sort(np.concatenate(kept))


def only(table: pa.Table, kept: npt.NDArray[np.int64]) -> pa.Table:
    """The rows of a table that belong to kept examples, in the order of these."""
    table = table.sort_by("source_id")  # some frames of a video are decoded late
    ids = table["source_id"].to_numpy()
    places = np.minimum(np.searchsorted(kept, ids), len(kept) - 1)
    return table.filter(pa.array(kept[places] == ids))


def _at_most(measured: npt.NDArray[np.bool_], most: int) -> npt.NDArray[np.bool_]:
    """Which pictures are kept: first those that are truth, evenly spread, then others."""
    kept = np.zeros(len(measured), bool)
    for places in (np.flatnonzero(measured), np.flatnonzero(~measured)):
        count = min(len(places), most - int(kept.sum()))
        kept[places[((np.arange(count) + 0.5) * len(places) / max(count, 1)).astype(int)]] = True
    return kept
