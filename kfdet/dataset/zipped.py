"""A dataset in a zip file: which of its files belong to it, and a folder with them."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from kfdet.dataset.formats.archive import Member, list_members, unpack
from kfdet.dataset.formats.pictures import LAYOUT_FOLDERS
from kfdet.dataset.layout import is_dataset_file, is_media_file, suffix
from kfdet.errors import InputError


def is_zip(place: str | Path) -> bool:
    """Whether a dataset is a zip file on this machine."""
    return suffix(str(place)) == ".zip" and Path(place).is_file()


def files_in_zip(path: Path) -> list[Member]:
    """The files of the dataset in a zip, by their names in the dataset, sorted.

    One folder that holds everything else is not part of the names: it is the dataset's.

    Raises:
        InputError: The zip is hostile or damaged.
    """
    _, members = _dataset_in(path)
    return members


def unpack_dataset(path: Path, folder: Path, names: Collection[str] | None = None) -> Path:
    """Write the dataset in a zip below `folder`; returns its own folder, there or further below.

    Args:
        path: The zip.
        folder: An existing folder; of no use after an error.
        names: The files that are needed; None: all of them.

    Raises:
        InputError: The zip is hostile, damaged or too large, or holds no video and no image, or
            not those files.
    """
    top, members = _dataset_in(path)
    there = [member.name for member in members]
    if not any(map(is_media_file, there)):
        raise InputError(
            "holds no videos and no images.",
            file=path,
            hint="A zip may be the dataset if it holds videos or images and their annotations.",
        )
    missing = sorted(set(names or ()) - set(there))
    if missing:
        raise InputError(f"{missing[0]} is no longer in the zip.", file=path)
    wanted = there if names is None else sorted(names)
    unpack(path, folder, (f"{top}{name}" for name in wanted), shutil.disk_usage(folder).free)
    (folder / top).mkdir(exist_ok=True)
    return folder / top


def _dataset_in(path: Path) -> tuple[str, list[Member]]:
    """What the names in a zip begin with, "" or "FOLDER/", and the dataset's files without that."""
    members = [member for member in list_members(path) if is_dataset_file(member.name)]
    tops = {PurePosixPath(member.name).parts[0] for member in members}
    top = tops.pop() if len(tops) == 1 else ""
    if top.lower() in LAYOUT_FOLDERS or any(member.name == top for member in members):
        top = ""
    top = top and f"{top}/"
    return top, [member._replace(name=member.name.removeprefix(top)) for member in members]
