"""A dataset on disk as it is used: read, chosen from by its settings, and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from kfdet.boxes.tables import NO_LABEL
from kfdet.dataset.formats.model import Item, KeyBox, key_table
from kfdet.dataset.label_checks import Use, check_labels
from kfdet.dataset.layout import find_files
from kfdet.dataset.media_files import ON_DISK, MediaFiles
from kfdet.dataset.reading import load_items
from kfdet.dataset.repeats import check_repeated_boxes, merge_repeated_boxes, unite_copies
from kfdet.dataset.selection import apply, describe
from kfdet.dataset.settings_file import SETTINGS_FILE, read_settings
from kfdet.dataset.several import ALONE
from kfdet.dataset.sides import take_own_sides
from kfdet.errors import InputError, Problem
from kfdet.parameters import DatasetSettings

__all__ = ["Dataset", "Item", "KeyBox", "all_errors", "load"]

AS_IT_IS = DatasetSettings()


@dataclass(slots=True, repr=False)
class Dataset:
    """A dataset that was loaded and checked.

    Args:
        root: Its folder.
        items: Readable videos and images, sorted by name.
        labels: Names of the labels with at least one visible object, sorted.
        problems: Everything that is wrong, errors and warnings.
        sides_from: What puts items on sides, as a person reads it; "" where nothing does.
        name: What it is called, or all of several that were merged.
        choices: What each dataset.yaml and the options say, as a person reads it.
        media: How its videos and images are looked at.
        keep_going: What turns out to be unreadable is left out, with a warning.
    """

    root: Path
    items: list[Item]
    labels: list[str]
    problems: list[Problem]
    sides_from: str = ""
    name: str = ""
    choices: tuple[str, ...] = ()
    media: MediaFiles = ON_DISK
    keep_going: bool = False

    def __repr__(self) -> str:
        boxes = sum(not key.outside for item in self.items for key in item.keys)
        sizes = {"items": len(self.items), "boxes": boxes, "problems": len(self.problems)}
        text = ", ".join(f"{number} {name}" for name, number in sizes.items())
        return f"<Dataset {self.root}: {text}; labels: {', '.join(self.labels)}>"

    def key_table(self) -> pa.Table:
        """All key boxes in KEY_SCHEMA, in the order of the items and of their files."""
        return key_table((item.name, item.keys) for item in self.items)


def load(
    root: Path,
    settings: DatasetSettings = AS_IT_IS,
    parts: Sequence[str] = ALONE,
    media: MediaFiles = ON_DISK,
) -> Dataset:
    """Read a dataset, match its annotations to its media, and check all of it.

    A single bad file, box or label becomes a Problem; what is bad is left out of the items.

    Args:
        root: Its folder.
        settings: What of it is used, on top of what its dataset.yaml says.
        parts: Several datasets are folders of these names in `root`, each with its own
            annotations, dataset.yaml and sides. They are merged by label; names of items begin
            with the name of their folder.
        media: How videos and images are looked at.

    Raises:
        InputError: The folder is missing or holds no video and no image, or the settings or
            dataset.yaml have a wrong value.
    """
    settings.check()
    items: list[Item] = []
    problems: list[Problem] = []
    origins: dict[str, str] = {}
    choices: dict[str, str] = {}
    keep_going = settings.keep_going
    for part in parts:
        own = read_settings(root / part)
        keep_going |= own.keep_going
        choices[(Path(part) / SETTINGS_FILE).as_posix()] = describe(own)
        found, origins[part] = _load_part(root / part, own, settings, media, problems)
        for item in found:
            if part:
                item.name = f"{part}/{item.name}"
                item.annotation = item.annotation and f"{part}/{item.annotation}"
        items += found
    items.sort(key=lambda item: item.name)
    items = apply(items, settings, "", problems)
    options = [f"--{side}" for side in ("val", "test") if getattr(settings, side)]
    if any(origins.values()) and not options:
        problems += _without_sides(root, origins)
    items, copies = unite_copies(items, media)
    problems += copies
    if settings.merge_boxes:
        for item in items:
            merge_repeated_boxes(item)
    files = {item.name: str(root / item.annotation) for item in items}
    problems += check_repeated_boxes(items, files)
    uses = list(_uses(items, root))
    if uses or not any(problem.severity == "error" for problem in problems):
        # Without a box the errors found so far are why.
        problems += check_labels(uses)
    problems.sort(key=lambda p: (p.file, p.line or 0, p.frame or 0))
    labels = sorted({use.label for use in uses})
    for item in items:
        # A region matters only to what is looked for in it.
        item.keys = [key for key in item.keys if not key.crowd or key.label in (NO_LABEL, *labels)]
    stated = [] if len(options) == 2 else filter(None, origins.values())
    sides_from = " and ".join(dict.fromkeys([*stated, *options]))
    name = " and ".join(parts) if len(parts) > 1 else root.name
    choices["options"] = describe(settings)
    lines = tuple(f"{place}: {text}" for place, text in choices.items() if text)
    return Dataset(root, items, labels, problems, sides_from, name, lines, media, keep_going)


def _load_part(
    root: Path,
    own: DatasetSettings,
    settings: DatasetSettings,
    media: MediaFiles,
    problems: list[Problem],
) -> tuple[list[Item], str]:
    """The items of one dataset as its dataset.yaml chooses them, and what states their sides."""
    items, found = load_items(root, media, settings.keep_going or own.keep_going)
    problems += found
    sides_from = ""
    if settings.own_sides and own.own_sides:
        items, sides_from = take_own_sides(root, find_files(root), items, problems)
    else:
        for item in items:
            item.side = ""
    items = apply(items, own, str(root / SETTINGS_FILE), problems)
    if own.val or own.test:
        both = own.val and own.test
        sides_from = (
            f"{sides_from} and {SETTINGS_FILE}" if sides_from and not both else SETTINGS_FILE
        )
    if own.merge_boxes:
        for item in items:
            merge_repeated_boxes(item)
    return items, sides_from


def _without_sides(root: Path, origins: Mapping[str, str]) -> Iterator[Problem]:
    """The warnings that a dataset states no sides where another one does."""
    for part, origin in origins.items():
        if not origin:
            yield Problem(
                "warning",
                "states no sides, as another dataset of this run does: all of it trains.",
                str(root / part),
                hint="Name a side with --val or --test, or use --no-own-sides.",
            )


def all_errors(problems: Iterable[Problem]) -> InputError | None:
    """One exception for all errors among `problems`, one line each; None where there are none."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if len(errors) < 2:
        return errors[0].error() if errors else None
    lines = "\n".join(f"  {error}" for error in errors)
    return InputError(f"{len(errors)} errors:\n{lines}")


def _uses(items: Iterable[Item], root: Path) -> Iterator[Use]:
    for item in items:
        file = str(root / item.annotation)
        for key in item.keys:
            if not (key.outside or key.crowd):
                frame = key.frame if item.kind == "video" else None
                yield Use(key.label, file, key.line, frame)
