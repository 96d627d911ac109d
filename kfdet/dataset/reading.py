"""The videos and images of a folder with the boxes that its annotation files hold.

Layout: `videos/` and/or `images/` and `annotations/`, or all files in one folder; sub-folders are
searched.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from kfdet.dataset.box_checks import Media, check_source
from kfdet.dataset.formats import yolo
from kfdet.dataset.formats.archive import member_names, unpacked
from kfdet.dataset.formats.model import Item, SourceAnnotations
from kfdet.dataset.formats.registry import detect_format, read_annotations
from kfdet.dataset.layout import (
    ANNOTATION_SUFFIXES,
    LAYOUT,
    NO_TEXT,
    RENAME,
    find_files,
    is_image,
    is_media_file,
    is_video,
    suffix,
    unread_hint,
    without_text,
)
from kfdet.dataset.media_files import ON_DISK, MediaFiles
from kfdet.dataset.pairing import pair
from kfdet.errors import InputError, PlaceError, Problem
from kfdet.video.heif import open_picture

_EXIF_ORIENTATION = 0x0112
_NEW_OBJECTS = 200_000
"""How many objects are made before the garbage collector looks for some that it can remove."""
_TURNS = range(2, 9)
_SIDEWAYS = frozenset((5, 6, 7, 8))


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let the garbage collector look less often at millions of boxes, none of which is garbage."""
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_few_collections()
def load_items(
    root: Path, media: MediaFiles = ON_DISK, keep_going: bool = False
) -> tuple[list[Item], list[Problem]]:
    """The readable videos and images with their boxes, sorted by name, and what is wrong with them.

    Unlike `kfdet.dataset.loading.load` it does not check label names and duplicates.

    Args:
        root: The folder.
        media: How its videos and images are looked at.
        keep_going: That a video or image cannot be read is a warning only.

    Raises:
        InputError: The folder is missing or holds no video and no image.
    """
    files = find_files(root)
    unnamed = frozenset(without_text(files))
    files = [name for name in files if name not in unnamed]
    problems = [
        Problem("error", NO_TEXT, str(root / name), hint=RENAME) for name in sorted(unnamed)
    ]
    media_names = [name for name in files if is_media_file(name)]
    problems += _unread(root, files)
    if not media_names:
        found = f" Not read: {problems[0]}" if problems else ""
        raise InputError("holds no videos and no images.", file=root, hint=LAYOUT + found)

    def look(name: str) -> tuple[Item | None, Problem | None]:
        try:
            return _open(root, name, media)
        except PlaceError:
            raise
        except InputError as error:
            return None, left_out(error) if keep_going else _problem(error)

    items: dict[str, Item] = {}
    for name, (item, problem) in zip(media_names, media.each(look, media_names), strict=True):
        if item:
            items[name] = item
        if problem:
            problems.append(problem)
    sources = list(_read_all(root, files, problems))
    # Media that cannot be opened take part in matching, or their annotations would go astray.
    videos = list(filter(is_video, media_names))
    images = list(filter(is_image, media_names))
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
        if unread_hint(name):
            kinds[suffix(name)].append(name)
    for kind, names in sorted(kinds.items()):
        more = f" and {len(names) - 1} more {kind} files are" if len(names) > 1 else " is"
        yield Problem(
            "warning",
            f"{names[0]}{more} not used: kfdet does not read {kind}.",
            str(root),
            hint=unread_hint(names[0]),
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
            hint="Unpack it, or give the zip itself if it is the whole dataset.",
        )


def _open(root: Path, name: str, media: MediaFiles) -> tuple[Item, Problem | None]:
    """A video or image, and the warning that it is damaged.

    Raises:
        InputError: It cannot be read.
    """
    path = root / name
    if is_video(name):
        info = media.probe(path)
        hint = "Copy it again from where it was recorded; until then the rest of it is used."
        if info.exact:
            hint = "If you trimmed it, nothing is wrong; else copy it again from the camera."
        damage = Problem("warning", info.damage, str(path), hint=hint) if info.damage else None
        item = Item(
            name,
            path,
            "video",
            info.width,
            info.height,
            info.frames,
            info.fps,
            stop=info.frames - 1,
        )
        return item, damage
    try:
        with media.at_hand(path) as file, open_picture(file) as image:
            width, height = image.size
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
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
    turned = next((turn for turn in _TURNS if turn == orientation), 1)
    if turned in _SIDEWAYS:
        width, height = height, width
    return Item(name, path, "image", width, height, 1, 0.0, orientation=turned), None


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
    unknown: list[str] = []
    known = False
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
            known = True
            yield path
        elif suffix(name) in (".csv", ".json", ".xml"):
            unknown.append(name)
    for name in unknown:
        # Elsewhere such a file may be anything, but not where there is no other.
        if "annotations" in Path(name).parts[:-1] or not (known or class_files):
            text = "is not in a known annotation format; it is not read."
            problems.append(Problem("warning", text, str(root / name)))
    # Tools write several lists of class names; each label file is read with one of them, the one
    # that is highest in the tree and best.
    class_files.sort(key=lambda path: (len(path.parts), yolo.rank(path), path))
    folders: list[Path] = []
    for path in class_files:
        if not any(path.parent.is_relative_to(folder) for folder in folders):
            folders.append(path.parent)
            yield path


def left_out(error: InputError) -> Problem:
    """The warning that a video or image with this error is not used."""
    return replace(_problem(error), severity="warning", problem=f"{error.problem} It is not used.")


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
