"""Planning of a run from a checked dataset."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet import events
from kfdet.boxes.clipping import clip_keys
from kfdet.boxes.interpolation import keys_from_table, visible_spans
from kfdet.boxes.tables import NO_LABEL
from kfdet.dataset.duplicates import near_hashes, perceptual_hashes
from kfdet.dataset.loading import Dataset, Item
from kfdet.dataset.media_files import MediaFiles
from kfdet.dataset.reading import left_out
from kfdet.errors import InputError
from kfdet.parameters import NegativeSettings, SamplingSettings, SplitSettings
from kfdet.planning.background import beside, candidates, deal_background, margin_frames
from kfdet.planning.coverage import covered_ranges, visible_ranges
from kfdet.planning.groups import MOST_GROUPS, make_groups
from kfdet.planning.plan import Plan, Source, Split
from kfdet.planning.ranges import Ranges, contains, merge
from kfdet.planning.sampling import select_frames
from kfdet.planning.sides import Counts, Sides, SplitInput
from kfdet.planning.split import split

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

MEASURING = ("val", "test")
"""The sides that do not train."""

_NOT_COUNTED = -1
"""Number of the label of a region, which is not an object."""


def make_plan(
    dataset: Dataset,
    sampling: SamplingSettings,
    how: SplitSettings,
    negatives: NegativeSettings,
    *,
    seed: int,
) -> tuple[Plan, pa.Table, list[str]]:
    """Split a dataset and cut it into groups.

    Args:
        dataset: A dataset without errors.
        sampling: Which annotated frames the run uses.
        how: What evaluates instead of training.
        negatives: How much background trains.
        seed: Seed of every choice.

    Returns:
        The plan, the key boxes (KEY_SCHEMA, sorted by video, track, frame) of its sources, clipped
        to their frames, and warnings for the user.

    Raises:
        InputError: The dataset is too small to be split, or an image cannot be decoded.
    """
    inputs, keys = split_inputs(dataset, sampling)
    made, sides, warnings = split(
        inputs, dataset.labels, val_share=how.val_share, guard_seconds=how.guard_seconds, seed=seed
    )
    made = replace(made, sides_from=dataset.sides_from)
    used = [one for one in inputs if sides.get(one.source.name, Sides()) != Sides()]
    sources = _on_sides(used, sides)
    sources = _thinned(used, _with_negatives(used, sources, negatives.negative_share, seed))
    return *_plan(dataset, sources, made, keys), warnings


def plan_measurement(dataset: Dataset, sampling: SamplingSettings) -> tuple[Plan, pa.Table]:
    """Plan to measure a model on a dataset, of which nothing trains.

    Its test side is measured where it has one, else its validation side, else all of it; in the
    plan that is the validation side.

    Args:
        dataset: A dataset without errors.
        sampling: Which annotated frames are used.

    Returns:
        The plan, with one group, and the key boxes as of `make_plan`.

    Raises:
        InputError: There is no box to find, or an image cannot be decoded.
    """
    inputs, keys = split_inputs(dataset, sampling)
    stated = {one.side for one in inputs}
    side = next((side for side in ("test", "val") if side in stated), "")
    chosen = [one for one in inputs if len(one.frames) and side in ("", one.side)]
    if not any(one.boxes.any() for one in chosen):
        raise InputError(
            "there is no box to find.",
            file=dataset.name,
            hint="Draw boxes on key frames, or run `kfdet check`.",
        )
    sources = _on_sides(chosen, {one.source.name: Sides(val=one.usable) for one in chosen})
    how = Split("whole", 1.0, 0.0, 0, sides_from=dataset.sides_from if side else "")
    return _plan(dataset, _thinned(chosen, sources), how, keys, most_groups=1)


def _on_sides(inputs: Sequence[SplitInput], sides: Mapping[str, Sides]) -> list[Source]:
    """The sources on their sides, with room for an example and a crop of each of their frames."""
    room = [2 * (one.source.stop - one.source.start + 1) for one in inputs]
    first = np.cumsum([1, *room])[:-1].tolist()
    # In one step, as there may be a million of them.
    own = (sides[one.source.name] for one in inputs)
    return [
        replace(one.source, train=side.train, val=side.val, test=side.test, first_id=number)
        for one, side, number in zip(inputs, own, first, strict=True)
    ]


def _with_negatives(
    inputs: Sequence[SplitInput], sources: Sequence[Source], share: float, seed: int
) -> list[Source]:
    """The sources with the background that each of them gives."""
    positives = 0
    whole, busy = np.zeros((2, len(inputs)), np.int64)
    for number, (one, source) in enumerate(zip(inputs, sources, strict=True)):
        if source.train:
            trains = contains(source.train, one.frames)
            positives += int((one.boxes.any(axis=1) & trains).sum())
            found = candidates(source, one.key_frames.tolist(), one.frames, one.busy)
            whole[number], busy[number] = map(len, found)
    wanted = round(positives * share / (1 - share))
    frames, crops = deal_background(whole, busy, wanted, seed)
    return [
        replace(source, negative_frames=f, negative_crops=c) if f or c else source
        for source, f, c in zip(sources, frames.tolist(), crops.tolist(), strict=True)
    ]


def _thinned(inputs: Sequence[SplitInput], sources: Sequence[Source]) -> list[Source]:
    """The sources with the share of background videos that measures.

    No more of their frames than there are frames with boxes: a long video of an empty place shows
    much of the same.
    """
    with_boxes, empty = dict.fromkeys(MEASURING, 0), dict.fromkeys(MEASURING, 0)
    for one, source in zip(inputs, sources, strict=True):
        for side in MEASURING:
            inside = contains(getattr(source, side), one.frames)
            if source.background:
                empty[side] += int(inside.sum())
            else:
                with_boxes[side] += int((one.boxes.any(axis=1) & inside).sum())
    share = {side: min(1.0, with_boxes[side] / max(1, empty[side])) for side in MEASURING}
    return [
        replace(s, background_share=min(share[side] for side in MEASURING if getattr(s, side)))
        if s.background and (s.val or s.test)
        else s
        for s in sources
    ]


def _plan(
    dataset: Dataset,
    sources: Sequence[Source],
    how: Split,
    keys: pa.Table,
    most_groups: int = MOST_GROUPS,
) -> tuple[Plan, pa.Table]:
    """The plan, and the keys of its sources."""
    plan = Plan(
        dataset=dataset.name,
        labels=tuple(dataset.labels),
        sources=tuple(sources),
        split=how,
        groups=make_groups(sources, most_groups),
    )
    names = pa.array([source.name for source in sources], pa.string())
    used = pc.is_in(keys["video"], value_set=names)
    return plan, keys if pc.all(used).as_py() else keys.filter(used)


def _source(item: Item) -> Source:
    # A key box between the task's frames (check warns of it) means that the step is not what the
    # file says; on the finer grid no frame goes without the boxes that it has.
    step = math.gcd(item.step, *(key.frame - item.start for key in item.keys))
    return Source(
        name=item.name,
        kind=item.kind,
        annotation=item.annotation,
        width=item.width,
        height=item.height,
        frames=item.frames,
        fps=item.fps,
        start=item.start,
        stop=item.stop,
        step=step,
        background=item.background,
        file_bytes=item.path.stat().st_size,
    )


def split_inputs(dataset: Dataset, sampling: SamplingSettings) -> tuple[list[SplitInput], pa.Table]:
    """The input of the split, one per annotated video or image in the order of their names.

    Args:
        dataset: A dataset without errors.
        sampling: Which annotated frames the run uses.

    Returns:
        The inputs, and all key boxes (KEY_SCHEMA, sorted by video, track, frame), clipped.

    Raises:
        InputError: An image cannot be decoded.
    """
    dataset, hashes = _comparable(dataset)
    items = [item for item in dataset.items if item.annotation]
    duplicates = _duplicates(items, hashes, dataset.media)
    sources = [_source(item) for item in items]
    keys, rows, first, end = _key_spans(dataset, sources)
    label = pc.index_in(keys["label"], value_set=pa.array(dataset.labels, pa.string()))
    label = np.where(keys["crowd"].to_numpy(), _NOT_COUNTED, label.fill_null(_NOT_COUNTED))
    looked_at = ~pc.equal(keys["label"], NO_LABEL).to_numpy()
    inputs = []
    # Images have equal ones, of which each would take as much memory as all else of an image.
    shared: defaultdict[tuple[Any, ...], dict[bytes, npt.NDArray[Any]]] = defaultdict(dict)
    ranges: dict[Ranges, Ranges] = {}
    for item, source, duplicate, (begin, stop) in zip(
        items, sources, duplicates.tolist(), rows, strict=True
    ):
        every = slice(begin, stop)
        own = np.arange(begin, stop)[looked_at[every]]
        key_frames = first[own].tolist()
        usable = merge(
            (
                *covered_ranges(source, key_frames),
                *visible_ranges(source, first[own], end[own]),
            )
        )
        frames = select_frames(
            replace(source, train=usable), key_frames, sampling.frame_rate, sampling.every
        )
        labels, boxes = _count_boxes(frames, label[own], first[own], end[own])
        busy = beside(frames, first[every], end[every], margin_frames(source))
        keyed = np.unique(first[own])
        if item.kind == "image":
            usable = ranges.setdefault(usable, usable)
            frames, labels, boxes, busy, keyed = (
                shared[each.dtype, each.shape].setdefault(each.tobytes(), each)
                for each in (frames, labels, boxes, busy, keyed)
            )
        inputs.append(
            SplitInput(source, usable, frames, labels, boxes, busy, keyed, duplicate, item.side)
        )
    return inputs, keys


def _key_spans(
    dataset: Dataset, sources: Sequence[Source]
) -> tuple[pa.Table, Integers, Integers, Integers]:
    """The key boxes of a dataset, and in which frames each of them rules its track's box.

    Returns:
        The K key boxes as of `split_inputs`, (S, 2) the first row of every source and the row
        after its last one, (K,) the first frame of every key, which is its own, and (K,) the first
        frame no longer ruled.
    """
    keys = clip_keys(dataset.key_table(), {s.name: s.size for s in sources})
    keys, arrays, tasks = keys_from_table(keys, {s.name: s.task for s in sources})
    names = pa.array([source.name for source in sources], pa.string())
    # Videos are numbered in the order of their names among those with keys.
    number = pc.index_in(names, value_set=pc.unique(keys["video"])).fill_null(-1).to_numpy()
    bounds = [np.searchsorted(arrays.video, number, side) for side in ("left", "right")]
    return keys, np.stack(bounds, axis=1), *visible_spans(arrays, tasks)


def _count_boxes(
    frames: Integers, label: Integers, first: Integers, end: Integers
) -> tuple[Integers, Counts]:
    """The labels shown, (P,), and their objects on every frame, (F, P), from half-open spans."""
    visible = (end > first) & (label != _NOT_COUNTED)
    shown, column = np.unique(label[visible], return_inverse=True)
    change = np.zeros((len(frames) + 1, len(shown)), np.int32)
    np.add.at(change, (np.searchsorted(frames, first[visible]), column), 1)
    np.add.at(change, (np.searchsorted(frames, end[visible]), column), -1)
    np.cumsum(change, axis=0, out=change)
    np.minimum(change, np.iinfo(np.int16).max, out=change)
    small = change.max(initial=0) <= np.iinfo(np.int8).max
    return shown, change[:-1].astype(np.int8 if small else np.int16)


def _comparable(dataset: Dataset) -> tuple[Dataset, Hashes]:
    """The dataset, of which all annotated images decode, and their hashes in their order.

    Raises:
        InputError: Images cannot be decoded, all of which are named, and are not to be left out.
    """
    images = [item for item in dataset.items if item.annotation and item.kind == "image"]
    found = perceptual_hashes([item.path for item in images], dataset.media.at_hand)
    errors = {
        item.name: each
        for item, each in zip(images, found, strict=True)
        if isinstance(each, InputError)
    }
    hashes = np.array([each for each in found if not isinstance(each, InputError)], np.uint64)
    if not errors:
        return dataset, hashes
    if dataset.keep_going:
        for error in errors.values():
            events.warn(str(left_out(error)))
        items = [item for item in dataset.items if item.name not in errors]
        return replace(dataset, items=items), hashes
    if len(errors) == 1:
        raise next(iter(errors.values()))
    lines = "\n".join(f"  {error}" for error in errors.values())
    raise InputError(f"{len(errors)} images cannot be read:\n{lines}")


def _duplicates(items: Sequence[Item], hashes: Hashes, media: MediaFiles) -> Integers:
    """A number for every item; equal numbers show the same pictures."""
    numbers = np.zeros(len(items), np.int64)
    videos = [i for i, item in enumerate(items) if item.kind == "video"]
    numbers[videos] = media.identical([items[i].path for i in videos])
    images = [i for i, item in enumerate(items) if item.kind == "image"]
    numbers[images] = near_hashes(hashes) + len(videos)
    return numbers
