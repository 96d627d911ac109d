"""The training, validation and test sides that a dataset defines.

Four places state them, the most trusted first: YOLO's data.yaml, Pascal VOC's ImageSets, annotation
files (CVAT's subsets, AutoML's CSV), and the names of folders and of annotation files (`train/`,
`instances_val2017.json`).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kfdet.dataset.formats import voc, yolo
from kfdet.dataset.formats.model import SIDE_NAMES, Item, NamedSide
from kfdet.errors import Problem, some

_FOR_MANY = frozenset((".csv", ".json", ".zip"))
"""Suffixes of annotation files that describe many images: their own name may be a side's."""


@dataclass(frozen=True, slots=True)
class OwnSides:
    """The sides of a dataset.

    Args:
        origin: What states them, as a person reads it.
        sides: Side of each video and image that has one, by name.
        complete: What has no side is not used; otherwise it trains.
    """

    origin: str
    sides: Mapping[str, NamedSide]
    complete: bool


def take_own_sides(
    root: Path, files: Iterable[str], items: Sequence[Item], problems: list[Problem]
) -> tuple[list[Item], str]:
    """Put items on the sides that the dataset states.

    Args:
        root: Folder of the dataset.
        files: Its files, relative to `root`.
        items: Its items; changed.
        problems: Gets what is on two sides, and what is on none.

    Returns:
        The items that are used, and what states the sides; "" where nothing does.
    """
    labelled = [item for item in items if item.annotation]
    found = next(_stated(root, files, labelled, problems), None)
    if found is None:
        for item in labelled:
            item.side = ""
        return list(items), ""
    unlisted = [item.name for item in labelled if item.name not in found.sides]
    named = some(unlisted)
    for item in labelled:
        item.side = found.sides.get(item.name, "train")
    if unlisted and found.complete:
        problems.append(
            Problem(
                "warning",
                f"{found.origin} does not name {named}; not used.",
                str(root),
                hint="Add them to a side, or use --no-own-sides.",
            )
        )
        left_out = set(unlisted)
        return [item for item in items if item.name not in left_out], found.origin
    if unlisted:
        text = f"{found.origin} put {named} on no side: training uses them."
        problems.append(Problem("warning", text, str(root), hint="Move them to a side."))
    return list(items), found.origin


def _stated(
    root: Path, files: Iterable[str], items: Sequence[Item], problems: list[Problem]
) -> Iterator[OwnSides]:
    """What states at least a training side and another one."""
    files = list(files)
    for found in (
        *_of_yolo(root, files, items, problems),
        *_of_voc(root, files, items, problems),
        OwnSides("the annotations", {item.name: item.side for item in items if item.side}, False),
        _of_names(items),
    ):
        if {"train"} < set(found.sides.values()):
            yield found


def _of_yolo(
    root: Path, files: Iterable[str], items: Sequence[Item], problems: list[Problem]
) -> Iterator[OwnSides]:
    for name in files:
        path = root / name
        if PurePosixPath(name).suffix.lower() not in (".yaml", ".yml") or yolo.rank(path) is None:
            continue
        named: defaultdict[str, dict[NamedSide, None]] = defaultdict(dict)
        stated = yolo.sides(path)
        for side, places in stated.items():
            within = {each for place in places for each in (_absolute(place), place.resolve())}
            for item in items:
                if _is_within(_absolute(item.path), within) or _is_within(
                    item.path.resolve(), within
                ):
                    named[item.name][SIDE_NAMES[side]] = None
        # The pattern of Ultralytics for data that is not split yet.
        same = {frozenset(sides) for sides in named.values()} == {frozenset(("train", "val"))}
        if not same:
            sides = [SIDE_NAMES[side] for side in stated]
            yield _one_side_each(name, sides, named, path, problems)


def _absolute(path: Path) -> Path:
    """The absolute path; links are not followed."""
    return Path(os.path.abspath(path))


def _is_within(path: Path, places: set[Path]) -> bool:
    return path in places or not places.isdisjoint(path.parents)


def _of_voc(
    root: Path, files: Iterable[str], items: Sequence[Item], problems: list[Problem]
) -> Iterator[OwnSides]:
    folders = {
        PurePosixPath(name).parent
        for name in files
        if PurePosixPath(name).parent.parts[-2:] == voc.IMAGE_SETS
    }
    for folder in sorted(folders):
        base = folder.parent.parent
        by_stem = {
            item.path.stem: item.name for item in items if base in PurePosixPath(item.name).parents
        }
        named: defaultdict[str, dict[NamedSide, None]] = defaultdict(dict)
        stated = voc.image_sets(root / folder)
        for side, stems in stated.items():
            for stem in stems & by_stem.keys():
                named[by_stem[stem]][SIDE_NAMES[side]] = None
        sides = [SIDE_NAMES[side] for side, stems in stated.items() if stems]
        yield _one_side_each(folder.as_posix(), sides, named, root / folder, problems)


def _one_side_each(
    origin: str,
    stated: Iterable[NamedSide],
    named: Mapping[str, Mapping[NamedSide, None]],
    path: Path,
    problems: list[Problem],
) -> OwnSides:
    """The sides; what is on two of them is an error, and so is a validation side of nothing.

    A test side of nothing is a warning: exports name one that they do not write.
    """
    twice = [name for name, sides in named.items() if len(sides) > 1]
    if twice:
        sides = " and on ".join(named[twice[0]])
        more = f", and {len(twice) - 1} more" if len(twice) > 1 else ""
        problems.append(
            Problem(
                "error",
                f"{twice[0]} is on {sides}{more}.",
                str(path),
                hint="Put every picture on one side, or use --no-own-sides.",
            )
        )
    filled = {side for sides in named.values() for side in sides}
    problems += [
        Problem(
            "warning" if side == "test" else "error",
            f"no picture with labels is on the {side} side that {origin} states.",
            str(path),
            hint="Add its pictures and labels, or use --no-own-sides.",
        )
        for side in stated
        if "train" in filled and side not in filled
    ]
    return OwnSides(origin, {name: next(iter(sides)) for name, sides in named.items()}, True)


def _of_names(items: Sequence[Item]) -> OwnSides:
    sides = {item.name: side for item in items if (side := _side_of(item))}
    return OwnSides("the names of folders and files", sides, False)


def _side_of(item: Item) -> NamedSide | None:
    """The side that the folders of an item name, or its annotation file or the folders of that."""
    annotation = PurePosixPath(item.annotation)
    places = [*PurePosixPath(item.name).parts[:-1], *annotation.parts[:-1]]
    for folder in reversed(places):
        if side := SIDE_NAMES.get(folder.lower()):
            return side
    if annotation.suffix.lower() in _FOR_MANY:
        for word in re.findall(r"[a-z]+", annotation.stem.lower()):
            if side := SIDE_NAMES.get(word):
                return side
    return None
