"""What of a dataset is used, as what, and on which side: `DatasetSettings` applied to its items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal
from unicodedata import normalize

from kfdet.boxes.tables import NO_LABEL, UNTRACKED
from kfdet.dataset.formats.model import Item, KeyBox
from kfdet.errors import Problem
from kfdet.parameters import DatasetSettings, Ignored, split_list


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means the video or image of that path relative to the dataset.

    It may mean the whole path, a folder above it, or the file's name with or without suffix.
    """
    path = PurePosixPath(normalize("NFC", name))  # macOS writes accents as characters of their own
    folders = [folder.as_posix() for folder in path.parents if folder.name]
    names = [path.as_posix(), path.name, path.stem, *folders]
    wanted = normalize("NFC", pattern.strip("/"))
    return any(fnmatchcase(each, wanted) for each in names)


def describe(settings: DatasetSettings) -> str:
    """The settings that are not the defaults, as a person reads them; "" where all are."""
    parts = []
    for each in fields(settings):
        value = getattr(settings, each.name)
        if value != each.default:
            text = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else value
            parts.append(f"{each.name} {text}")
    return "; ".join(parts)


def apply(
    items: Sequence[Item], settings: DatasetSettings, file: str, problems: list[Problem]
) -> list[Item]:
    """The items that are used, with the labels, regions and sides that the settings give them.

    Args:
        items: All items; changed.
        settings: Checked settings.
        file: Where they come from, "" for options.
        problems: Gets what matches nothing, and what is meant twice.
    """
    items = _choose(items, settings, file, problems)
    labels = {key.label for item in items for key in item.keys}
    renames = settings.renames()
    problems += _unknown(renames, labels, "rename", file, "warning")
    ignored = settings.ignored()
    labels = {renames.get(label, label) for label in labels}
    problems += _unknown(ignored.labels, labels, "ignore", file, "warning")
    chosen = set(split_list(settings.labels))
    problems += _unknown(sorted(chosen), labels, "labels", file, "error")
    for item in items:
        keys = (key._replace(label=renames.get(key.label, key.label)) for key in item.keys)
        keys = (_judged(key, ignored) for key in keys)
        item.keys = [key for key in keys if not chosen or key.label in chosen or _is_region(key)]
        item.keys += _regions(item, ignored)
    problems += _take_sides(items, settings, file)
    return items


def _choose(
    items: Sequence[Item], settings: DatasetSettings, file: str, problems: list[Problem]
) -> list[Item]:
    patterns = split_list(settings.videos)
    problems += _unmatched(patterns, items, "videos", file)
    return [item for item in items if not patterns or any(matches(item.name, p) for p in patterns)]


def _judged(key: KeyBox, ignored: Ignored) -> KeyBox:
    """The box, or where it is ignored the region that it is instead."""
    if key.label in ignored.labels:
        return key._replace(label=NO_LABEL, crowd=True)
    if (ignored.difficult and key.difficult) or (ignored.occluded and key.occluded):
        return key._replace(crowd=True)
    return key


def _is_region(key: KeyBox) -> bool:
    return key.crowd and key.label == NO_LABEL


def _regions(item: Item, ignored: Ignored) -> list[KeyBox]:
    """The regions of an item that are ignored from its first frame to its last."""
    number = max((key.track_id for key in item.keys), default=UNTRACKED) + 1
    boxes = [box for pattern, box in ignored.regions if matches(item.name, pattern)]
    return [
        KeyBox(number + i, NO_LABEL, item.start, *box)._replace(crowd=True)
        for i, box in enumerate(boxes)
    ]


def _take_sides(items: Sequence[Item], settings: DatasetSettings, file: str) -> list[Problem]:
    """Move items to the sides that patterns name; what they do not name any more trains."""
    problems: list[Problem] = []
    named: dict[str, tuple[str, str]] = {}
    sides: tuple[Literal["val", "test"], ...] = ("val", "test")
    for side in sides:
        patterns = split_list(getattr(settings, side))
        if not patterns:
            continue
        problems += _unmatched(patterns, items, side, file)
        for item in items:
            pattern = next((p for p in patterns if matches(item.name, p)), None)
            if pattern is None:
                if item.side == side:
                    item.side = "train"
                continue
            if item.name in named:
                other, other_pattern = named[item.name]
                problems.append(
                    Problem(
                        "error",
                        f"{item.name} is on two sides: {_option(other, other_pattern, file)} and "
                        f"{_option(side, pattern, file)}.",
                        file,
                        hint="Make the patterns narrower.",
                    )
                )
                return problems
            named[item.name] = side, pattern
            item.side = side
    return problems


def _unmatched(
    patterns: Iterable[str], items: Sequence[Item], setting: str, file: str
) -> list[Problem]:
    names = [item.name for item in items]
    problems = []
    for pattern in patterns:
        if any(matches(name, pattern) for name in names):
            continue
        near = get_close_matches(pattern, [PurePosixPath(name).name for name in names], n=1)
        there = f"Did you mean {near[0]!r}?" if near else f"There is for example {names[0]!r}."
        problems.append(
            Problem(
                "error",
                f"{_option(setting, pattern, file)} matches no video and no image.",
                file,
                hint=there if names else "",
            )
        )
    return problems


def _unknown(
    wanted: Iterable[str],
    labels: Iterable[str],
    setting: str,
    file: str,
    severity: Literal["error", "warning"],
) -> list[Problem]:
    labels = sorted(label for label in labels if label != NO_LABEL)
    return [
        Problem(
            severity,
            f"{_option(setting, label, file)}: no box has the label {label!r}.",
            file,
            hint=f"Labels: {', '.join(labels)}." if labels else "",
        )
        for label in wanted
        if label not in labels
    ]


def _option(name: str, value: str, file: str) -> str:
    """A setting as its user wrote it."""
    return f"{name}: {value}" if file else f"--{name} {value}"
