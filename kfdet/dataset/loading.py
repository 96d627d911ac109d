"""A dataset on disk: its videos and images, their annotations, and every problem.

Layout: `videos/` and/or `images/` and `annotations/`, or all files in one folder; sub-folders are
searched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from kfdet.boxes.tables import NO_LABEL
from kfdet.dataset.box_checks import Media, check_source
from kfdet.dataset.formats import yolo
from kfdet.dataset.formats.archive import member_names, unpacked
from kfdet.dataset.formats.model import Item, KeyBox, SourceAnnotations, key_table
from kfdet.dataset.formats.registry import detect_format, read_annotations
from kfdet.dataset.label_checks import Use, check_labels
from kfdet.dataset.layout import (
    ANNOTATION_SUFFIXES,
    IMAGE_SUFFIXES,
    LAYOUT,
    UNREAD_SUFFIXES,
    VIDEO_SUFFIXES,
    find_files,
    is_media_file,
    suffix,
)
from kfdet.dataset.pairing import pair
from kfdet.dataset.repeats import check_repeated_boxes, merge_repeated_boxes, unite_copies
from kfdet.dataset.selection import apply, describe
from kfdet.dataset.settings_file import SETTINGS_FILE, read_settings
from kfdet.dataset.several import ALONE
from kfdet.dataset.sides import take_own_sides
from kfdet.errors import InputError, Problem
from kfdet.parameters import DatasetSettings

__all__ = ["Dataset", "Item", "KeyBox", "all_errors", "load", "load_items"]

AS_IT_IS = DatasetSettings()

_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = frozenset((5, 6, 7, 8))


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
    """

    root: Path
    items: list[Item]
    labels: list[str]
    problems: list[Problem]
    sides_from: str = ""
    name: str = ""
    choices: tuple[str, ...] = ()

    def __repr__(self) -> str:
        boxes = sum(not key.outside for item in self.items for key in item.keys)
        sizes = {"items": len(self.items), "boxes": boxes, "problems": len(self.problems)}
        text = ", ".join(f"{number} {name}" for name, number in sizes.items())
        return f"<Dataset {self.root}: {text}; labels: {', '.join(self.labels)}>"

    def key_table(self) -> pa.Table:
        """All key boxes in KEY_SCHEMA, in the order of the items and of their files."""
        return key_table((item.name, item.keys) for item in self.items)


def load(root: Path, settings: DatasetSettings = AS_IT_IS, parts: Sequence[str] = ALONE) -> Dataset:
    """Read a dataset, match its annotations to its media, and check all of it.

    A single bad file, box or label becomes a Problem; what is bad is left out of the items.

    Args:
        root: Its folder.
        settings: What of it is used, on top of what its dataset.yaml says.
        parts: Several datasets are folders of these names in `root`, each with its own
            annotations, dataset.yaml and sides. They are merged by label; names of items begin
            with the name of their folder.

    Raises:
        InputError: The folder is missing or holds no video and no image, or the settings or
            dataset.yaml have a wrong value.
    """
    settings.check()
    items: list[Item] = []
    problems: list[Problem] = []
    origins: dict[str, str] = {}
    choices: dict[str, str] = {}
    for part in parts:
        own = read_settings(root / part)
        choices[(Path(part) / SETTINGS_FILE).as_posix()] = describe(own)
        found, origins[part] = _load_part(root / part, own, settings, problems)
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
    items, copies = unite_copies(items)
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
    return Dataset(root, items, labels, problems, sides_from, name, lines)


def _load_part(
    root: Path, own: DatasetSettings, settings: DatasetSettings, problems: list[Problem]
) -> tuple[list[Item], str]:
    """The items of one dataset as its dataset.yaml chooses them, and what states their sides."""
    items, found = load_items(root)
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


def load_items(root: Path) -> tuple[list[Item], list[Problem]]:
    """The readable videos and images with their boxes, sorted by name, and what is wrong with them.

    Unlike `load` it does not check label names and duplicates.

    Raises:
        InputError: The folder is missing or holds no video and no image.
    """
    files = find_files(root)
    media_names = [name for name in files if is_media_file(name)]
    problems = list(_unread(root, files))
    if not media_names:
        found = f" Not read: {problems[0]}" if problems else ""
        raise InputError("holds no videos and no images.", file=root, hint=LAYOUT + found)
    items = {}
    for name in media_names:
        try:
            items[name] = _open(root, name, problems)
        except InputError as error:
            problems.append(_problem(error))
    sources = list(_read_all(root, files, problems))
    # Media that cannot be opened take part in matching, or their annotations would go astray.
    videos = [name for name in media_names if suffix(name) in VIDEO_SUFFIXES]
    images = [name for name in media_names if suffix(name) in IMAGE_SUFFIXES]
    for source, name in pair(root, sources, videos, images, problems):
        if name in items:
            _annotate(items[name], source, root, problems)
    problems += _unmatched(items.values(), root)
    return list(items.values()), problems


def _unread(root: Path, files: Iterable[str]) -> Iterator[Problem]:
    """A warning for each kind of video or image that is left out."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    files = list(files)
    there = {Path(name).name for name in files}
    for name in files:
        if suffix(name) == ".zip":
            yield from _unread_in_zip(root / name, there)
        if suffix(name) in UNREAD_SUFFIXES:
            kinds[suffix(name)].append(name)
    for kind, names in sorted(kinds.items()):
        more = f" and {len(names) - 1} more {kind} files are" if len(names) > 1 else " is"
        yield Problem(
            "warning",
            f"{names[0]}{more} not used: kfdet does not read {kind}.",
            str(root),
            hint=UNREAD_SUFFIXES[kind],
        )


def _unread_in_zip(path: Path, there: Collection[str]) -> Iterator[Problem]:
    """The warning that a zip holds videos or images that are not in the dataset, too."""
    try:
        names = [Path(name).name for name in member_names(path) if is_media_file(name)]
    except InputError:
        return  # reading it reports that
    packed = [name for name in names if name not in there]
    if packed:
        yield Problem(
            "warning",
            f"holds {len(packed)} videos and images, such as {packed[0]}, which kfdet does not "
            "read inside a zip.",
            str(path),
            hint="Unpack it.",
        )


def _open(root: Path, name: str, problems: list[Problem]) -> Item:
    path = root / name
    if suffix(name) in VIDEO_SUFFIXES:
        from kfdet.video.probe import probe

        info = probe(path)
        if info.damage:
            hint = "Copy it again from where it was recorded; until then the rest of it is used."
            problems.append(Problem("warning", info.damage, str(path), hint=hint))
        return Item(
            name,
            path,
            "video",
            info.width,
            info.height,
            info.frames,
            info.fps,
            stop=info.frames - 1,
        )
    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise InputError(
            "the image cannot be read; it may be empty or cut off.",
            file=path,
            hint="Copy it again from where it came from, or delete it.",
        ) from error
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Item(name, path, "image", width, height, 1, 0.0, orientation=orientation)


def _read_all(
    root: Path, files: Iterable[str], problems: list[Problem]
) -> Iterator[SourceAnnotations]:
    for path in _annotation_files(root, files, problems):
        try:
            if suffix(path.name) == ".zip" and detect_format(path) is None:
                yield from _read_zip(path, problems)
                continue
            read = read_annotations(path)
        except InputError as error:
            problems.append(_problem(error))
            continue
        problems += read.problems
        yield from read.sources


def _read_zip(path: Path, problems: list[Problem]) -> list[SourceAnnotations]:
    """What the annotation files in a zip hold, as if the zip were a folder.

    Raises:
        InputError: The zip is hostile or damaged.
    """
    inner: list[Problem] = []
    with unpacked(path, ANNOTATION_SUFFIXES - {".zip"}) as folder:
        sources = list(_read_all(folder, find_files(folder), inner))
    for source in sources:
        source.file = str(path / Path(source.file).relative_to(folder))
    problems += [
        replace(problem, file=problem.file.replace(str(folder), str(path))) for problem in inner
    ]
    return sources


def _annotation_files(root: Path, files: Iterable[str], problems: list[Problem]) -> Iterator[Path]:
    class_files = []
    for name in files:
        path = root / name
        if suffix(name) not in ANNOTATION_SUFFIXES:
            continue
        try:
            found = detect_format(path)
        except InputError as error:
            problems.append(_problem(error))
            continue
        if found == "yolo":
            class_files.append(path)
        elif found or suffix(name) == ".zip":
            yield path
        elif "annotations" in Path(name).parts[:-1] and suffix(name) in (".csv", ".json", ".xml"):
            text = "is not in a known annotation format; it is not read."
            problems.append(Problem("warning", text, str(path)))
    # Tools write several lists of class names; each label file is read with one of them, the one
    # that is highest in the tree and best.
    class_files.sort(key=lambda path: (len(path.parts), yolo.rank(path), path))
    folders: list[Path] = []
    for path in class_files:
        if not any(path.parent.is_relative_to(folder) for folder in folders):
            folders.append(path.parent)
            yield path


def _problem(error: InputError) -> Problem:
    return Problem("error", error.problem, error.file, error.line, error.frame, error.hint)


def _annotate(item: Item, source: SourceAnnotations, root: Path, problems: list[Problem]) -> None:
    item.annotation = Path(source.file).relative_to(root).as_posix()
    item.side = source.side
    item.background = item.kind == "video" and source.reviewed and not source.keys
    last = item.frames - 1
    item.start, item.step = min(source.start, last), source.step
    stop = last if source.stop is None else min(source.stop, last)
    item.stop = max(stop - (stop - item.start) % item.step, item.start)
    source.to_pixels(item.width, item.height)
    media = Media(item.name, item.width, item.height, item.frames, item.fps)
    if item.orientation in _SIDEWAYS:
        media = Media(item.name, item.width, item.height, 1, 0.0, stored=(item.height, item.width))
    item.keys, found = check_source(source, media)
    problems += found


def _unmatched(items: Iterable[Item], root: Path) -> Iterator[Problem]:
    for item in items:
        if not item.annotation:
            yield Problem(
                "warning",
                f"the {item.kind} has no annotations; it is not used.",
                str(item.path),
                hint="Label it, or give its annotation file the same name.",
            )
        elif item.kind == "video" and not item.keys and not item.background:
            yield Problem(
                "warning",
                f"it holds no box for {item.name}, and nothing shows that a person has looked at "
                "the whole video; the video is not used.",
                str(root / item.annotation),
                hint="Finish labelling it. A video without objects is background when it has a "
                "CVAT task without tracks.",
            )


def _uses(items: Iterable[Item], root: Path) -> Iterator[Use]:
    for item in items:
        file = str(root / item.annotation)
        for key in item.keys:
            if not (key.outside or key.crowd):
                frame = key.frame if item.kind == "video" else None
                yield Use(key.label, file, key.line, frame)
