"""Is a model better than another one? Both on the same pictures, with a paired bootstrap.

Videos or stretches of time are drawn at random, as for the interval of AP50, and both models are
measured on the same draw: what makes a draw easy or hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from kfdet.errors import InputError, some
from kfdet.evaluation.interval import (
    FEWEST_BLOCKS,
    count_blocks,
    expanded_interval,
    resample,
    resampled_ap50,
)
from kfdet.evaluation.measurement import Measurement
from kfdet.parameters import Promotion

TOLERANCE = 0.01
"""How much lower AP50 may be for "not worse"."""

_SHARE = 0.9
"""Of the interval: its lower end alone is a one-sided limit of 95 %."""
_NAMED = 5
"""Labels in a sentence."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model beside another one, on the same pictures and the labels that both know.

    Args:
        against: What the other model is.
        AP50: Of the model; None where there is nothing to find.
        other: AP50 of the other one.
        difference: The first less the second.
        interval: Where the difference lies with a probability of 90 %; None with too few videos or
            stretches of time.
        only_new: Labels that only the model knows.
        only_old: Labels that only the other one knows.
    """

    against: str
    AP50: float | None
    other: float | None
    difference: float | None
    interval: tuple[float, float] | None
    only_new: tuple[str, ...]
    only_old: tuple[str, ...]

    def __str__(self) -> str:
        """Both figures, the difference and what is not compared, in sentences."""
        if self.AP50 is None or self.other is None:
            text = f"Nothing could be compared with {self.against}: there is no box to find."
        else:
            text = f"AP50 is {self.AP50:.3f}, that of {self.against} is {self.other:.3f}"
            text += f": {self.difference:+.3f}"
            if self.interval:
                text += " ({:+.3f} to {:+.3f} with a probability of 90%)".format(*self.interval)
            text += "."
        if self.only_new:
            text += f" Only the new model knows {some(self.only_new, _NAMED)}."
        if self.only_old:
            text += f" Only {self.against} knows {some(self.only_old, _NAMED)}."
        return text


def common_labels(
    labels: Sequence[str], others: Collection[str] | None, against: str
) -> tuple[str, ...]:
    """The labels of `labels` that another model knows too; None: it does not tell, so all.

    Raises:
        InputError: There are none.
    """
    common = tuple(label for label in labels if others is None or label in others)
    if not common:
        raise InputError(
            f"this model knows none of the labels {some(labels, _NAMED)}, but "
            f"{some(sorted(others or ()), _NAMED)}.",
            file=against,
            hint="Compare models of the same objects, or rename labels with --rename.",
        )
    return common


def compare(
    new: Measurement,
    old: Measurement,
    labels: Sequence[str],
    new_labels: Collection[str] | None,
    old_labels: Collection[str] | None,
    *,
    against: str,
    seed: int,
) -> Comparison:
    """Compare two measurements on the same pictures.

    Args:
        new: Of the model.
        old: Of the other one.
        labels: Those of the records.
        new_labels: What the model knows; None where it does not tell.
        old_labels: What the other one knows.
        against: What to call the other one.
        seed: Seed of the bootstrap.

    Raises:
        InputError: They have no label in common.
    """
    common = set(common_labels(labels, old_labels, against)) & set(new_labels or labels)
    chosen = [k for k, label in enumerate(labels) if label in common]
    sides = [[each.matches[k] for k in chosen] for each in (new, old)]
    whole = (new.blocks >= 0).astype(float)[None]
    ap50, other = (float(resampled_ap50(side, whole)[0]) for side in sides)
    interval = None
    blocks = count_blocks(new.blocks)
    if blocks >= FEWEST_BLOCKS:
        times = resample(new.blocks, seed)
        differences = resampled_ap50(sides[0], times) - resampled_ap50(sides[1], times)
        interval = expanded_interval(differences, blocks, _SHARE)
    known = np.isfinite([ap50, other]).all()
    return Comparison(
        against=against,
        AP50=round(ap50, 9) if known else None,
        other=round(other, 9) if known else None,
        difference=round(ap50 - other, 9) if known else None,
        interval=interval,
        only_new=_without(new_labels or labels, old_labels),
        only_old=_without(old_labels or (), new_labels or labels),
    )


def _without(labels: Collection[str], others: Collection[str] | None) -> tuple[str, ...]:
    return () if others is None else tuple(label for label in labels if label not in others)


def decide(promote: Promotion, comparison: Comparison) -> tuple[bool, str]:
    """Whether the model may take the other one's place, and why, as a sentence."""
    if promote == "always":
        return True, f"{comparison} It is promoted whatever the comparison says (--promote always)."
    if comparison.interval is None:
        return (
            False,
            f"{comparison} There is too little truth to say whether it is {_words(promote)}.",
        )
    low = comparison.interval[0]
    if promote == "better":
        good = low > 0
        rule = "the interval must lie above 0"
    else:
        good = low >= -TOLERANCE
        rule = f"the interval must not reach below -{TOLERANCE:g}"
    relation = "Promoted" if good else "Not promoted"
    return good, f"{comparison} {relation}: {rule} (--promote {promote})."


def _words(promote: Promotion) -> str:
    return promote.replace("-", " ")
