"""What is wrong with a split: sides without boxes, and labels that are on one side only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kfdet.errors import InputError
from kfdet.planning.sides import SIDE_TITLES, Sides, SplitInput, total_of


def judge(
    inputs: Sequence[SplitInput],
    labels: Sequence[str],
    sides: Mapping[str, Sides],
    *,
    own: bool = False,
) -> list[str]:
    """Warnings about labels on one side only; `own` where the dataset states the sides.

    Raises:
        InputError: A side has no boxes at all.
    """
    hint = (
        "Add a second annotated video, or annotate more of this one: seconds apart, with objects "
        "in them. Of images, add some that show something else."
    )
    if not inputs:
        raise InputError("the dataset has no frame with a box.", hint=hint)
    train, val = (total_of(inputs, sides, side, len(labels)) for side in ("train", "val"))
    if own and not (train.sum() and val.sum()):
        raise empty_side("val" if train.sum() else "train")
    if not train.sum() or not val.sum():
        side = "evaluation" if train.sum() else "training"
        count = sum(len(m.frames) for m in inputs)
        alike = len({m.duplicate for m in inputs}) < len(inputs)
        raise InputError(
            f"the dataset is too small to be split: {count} usable "
            f"{'frame' if count == 1 else 'frames'} in {len(inputs)} "
            f"{'source' if len(inputs) == 1 else 'sources'}"
            f"{' (some of which are alike)' if alike else ''} leave no boxes for {side}.",
            hint=hint,
        )
    warnings = []
    for label, in_train, in_val in zip(labels, train, val, strict=True):
        if not in_train:
            warnings.append(
                f"label {label!r} cannot be learned: none of its boxes is left for training. "
                "Annotate it in another video or another part of the video."
            )
        elif not in_val:
            warnings.append(
                f"label {label!r} cannot be evaluated: all its boxes are in one place, which "
                "training needs. Annotate it in another video or another part of the video."
            )
    return warnings


def judge_test(
    inputs: Sequence[SplitInput], labels: Sequence[str], sides: Mapping[str, Sides]
) -> list[str]:
    """Warnings about labels without a box on the test side.

    Raises:
        InputError: None has one.
    """
    counts = total_of(inputs, sides, "test", len(labels))
    if not counts.sum():
        raise empty_side("test")
    return [
        f"label {label!r} has no box on the test side: the result says nothing about it."
        for label, count in zip(labels, counts, strict=True)
        if not count
    ]


def empty_side(side: str) -> InputError:
    """The error for a side that the dataset states and that holds no box."""
    return InputError(
        f"the {SIDE_TITLES[side]} side has no box.",
        hint="Put annotated videos or images on it: --val, --test and dataset.yaml name the "
        "sides, else the dataset itself does, which --no-own-sides turns off.",
    )
