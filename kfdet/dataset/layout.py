"""Which files of a folder make up a dataset: its layout, in one place for reading and uploading."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from kfdet.errors import InputError
from kfdet.video import heif

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".m2ts", ".ts")
)
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
HEIF_SUFFIXES = frozenset((".heic", ".heif"))
"""Images that are read where the library for them is installed."""
ANNOTATION_SUFFIXES = frozenset(
    (".csv", ".json", ".names", ".txt", ".xml", ".yaml", ".yml", ".zip")
)
NO_TEXT, RENAME = "its name is not text.", "Rename it."
LAYOUT = (
    "A dataset is a folder with videos/ and/or images/, and annotations/; or with all files in one "
    "place."
)
_UNREAD_HINTS = {
    **dict.fromkeys(
        HEIF_SUFFIXES,
        f"Install what reads it: pip install 'kfdet[{heif.EXTRA}]'; or save it as JPEG: "
        "'heif-convert photo.heic photo.jpg', or on an iPhone Settings, Camera, Formats, Most "
        "Compatible.",
    ),
    **dict.fromkeys(
        (".wmv", ".flv", ".mpg", ".mpeg", ".vob", ".ogv", ".insv"),
        "Convert it: 'ffmpeg -i FILE -c:v libx264 -crf 18 FILE.mp4'.",
    ),
    **dict.fromkeys(
        (".avif", ".gif", ".jp2", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
        "Save it as JPEG or PNG.",
    ),
}
"""What helps with videos and images that kfdet does not read, by their suffix."""
_SIDE_FILES = frozenset(("seqinfo.ini",))
"""Files without an annotation's suffix that a reader looks at."""


def suffix(name: str) -> str:
    """The suffix of a file's name, which decides its kind: lower case, with its dot."""
    return os.path.splitext(name)[1].lower()


def is_video(name: str) -> bool:
    """Whether the file is a video that kfdet reads, by its name."""
    return suffix(name) in VIDEO_SUFFIXES


def is_image(name: str) -> bool:
    """Whether the file is an image that kfdet reads here, by its name."""
    kind = suffix(name)
    return kind in IMAGE_SUFFIXES or (kind in HEIF_SUFFIXES and heif.is_readable())


def is_media_file(name: str) -> bool:
    """Whether the file is a video or an image that kfdet reads here, by its name."""
    return is_video(name) or is_image(name)


def unread_hint(name: str) -> str:
    """What helps with a video or image that kfdet does not read; "" for any other file."""
    return "" if is_media_file(name) else _UNREAD_HINTS.get(suffix(name), "")


def is_dataset_file(name: str) -> bool:
    """Whether a file of that path, relative to the dataset, is one that readers look at."""
    path = PurePosixPath(name)
    if any(part.startswith(".") for part in path.parts):
        return False
    return is_media_file(name) or suffix(name) in ANNOTATION_SUFFIXES or path.name in _SIDE_FILES


def find_files(root: Path) -> list[str]:
    """Relative paths of all files, sorted; no hidden ones, pipes or devices, no outputs of a run.

    Raises:
        InputError: The folder is missing.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"the dataset {what}.", file=root, hint=LAYOUT)
    found = []
    seen: set[str] = set()
    # Links are followed: large videos often live elsewhere.
    for folder, folders, names in os.walk(root, followlinks=True):
        inner, real = Path(folder), os.path.realpath(folder)
        if real in seen or (inner != root and "run.json" in names):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = (
            name
            for name in names
            if not name.startswith(".") and not _never_ends(os.path.join(folder, name))
        )
        found += [(inner / name).relative_to(root).as_posix() for name in visible]
    return sorted(found)


def without_text(names: Iterable[str]) -> list[str]:
    """The files of a dataset among `names` whose name is not UTF-8, which no table can hold."""
    found = []
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            if is_dataset_file(name) or unread_hint(name):
                found.append(name)
    return found


def check_names(root: Path, names: Iterable[str]) -> None:
    """Refuse a dataset with a file whose name is not UTF-8.

    Raises:
        InputError: There is one.
    """
    for name in without_text(names):
        raise InputError(NO_TEXT, file=root / name, hint=RENAME)


def _never_ends(path: str) -> bool:
    """Whether reading a path may wait for ever: a pipe, a socket or a device."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # a link to nowhere, which its reader reports
        return False
    return not stat.S_ISREG(mode)
