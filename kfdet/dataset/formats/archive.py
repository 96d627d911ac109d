"""Opening annotation files, plain or inside a zip that may be hostile."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import BinaryIO

from kfdet.dataset.formats.pictures import safe_path
from kfdet.errors import InputError

MAX_BYTES = 2 << 30
MAX_MEMBERS = 1_000_000
MAX_RATIO = 250
RATIO_FREE_BYTES = 32 << 20
"""Sizes up to this need no ratio check: text of one repeated box compresses a few hundred times."""


def member_names(path: Path) -> list[str]:
    """Names of the files in a zip, after checking that it is safe to open.

    Raises:
        InputError: Not a zip, a member that leaves the folder (`../`, absolute, symbolic link), a
            password, or a zip bomb.
    """
    with _open(path) as archive:
        return [info.filename for info in archive.infolist() if not info.is_dir()]


@contextmanager
def open_annotation(path: Path, member: str = "annotations.xml") -> Iterator[BinaryIO]:
    """Open `path`, or inside a zip the member of that name (the shallowest one), for reading.

    Raises:
        InputError: As `member_names`; or the zip does not hold the member, or is damaged.
    """
    if path.suffix.lower() != ".zip":
        with path.open("rb") as plain:
            yield plain
        return
    with _open(path) as archive:
        found = sorted(
            (i for i in archive.infolist() if PurePosixPath(i.filename).name == member),
            key=lambda i: (i.filename.count("/"), i.filename),
        )
        if not found:
            raise InputError(
                f"the zip holds no {member}.",
                file=path,
                hint="Export the task as 'CVAT for video 1.1', or unpack the zip.",
            )
        _refuse_bomb(found[0], path)
        try:
            with archive.open(found[0]) as stream:
                yield stream  # type: ignore[misc]
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise InputError(
                f"the zip is damaged: {error}.", file=path, hint="Export it again."
            ) from error


@contextmanager
def unpacked(path: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """A temporary folder with the files in a zip that have one of these suffixes (lower case).

    Raises:
        InputError: As `member_names`; or the zip is damaged, or holds more than kfdet unpacks.
    """
    with TemporaryDirectory(prefix="kfdet-zip-") as folder, _open(path) as archive:
        wanted = [i for i in archive.infolist() if _suffix(i) in suffixes and not i.is_dir()]
        total = sum(info.file_size for info in wanted)
        if total > MAX_BYTES or len(wanted) > MAX_MEMBERS:
            raise InputError(
                f"the zip unpacks to {len(wanted)} files of {total >> 20} MiB.",
                file=path,
                hint="Unpack it yourself if you trust it.",
            )
        for info in wanted:
            _refuse_bomb(info, path)
            target = Path(folder, safe_path(info.filename, str(path)))
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as stream, target.open("xb") as file:
                    shutil.copyfileobj(stream, file)
            except (
                zipfile.BadZipFile,
                zlib.error,
                EOFError,
                NotImplementedError,
                FileExistsError,
                NotADirectoryError,
            ) as error:
                raise InputError(
                    f"the zip is damaged: {error}.", file=path, hint="Make it again."
                ) from error
        yield Path(folder)


def _suffix(info: zipfile.ZipInfo) -> str:
    return PurePosixPath(info.filename).suffix.lower()


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(
            "is not a zip file, or it is cut off.", file=path, hint="Export it again."
        ) from error
    with archive:
        for info in archive.infolist():
            _refuse_unsafe(info, path)
        yield archive


def _refuse_unsafe(info: zipfile.ZipInfo, path: Path) -> None:
    name = info.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    absolute = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).anchor)
    problem = ""
    if absolute or ".." in parts:
        problem = f"the zip holds {name!r}, a path that leads out of the zip's folder."
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = f"the zip holds {name!r}, a symbolic link."
    elif info.flag_bits & 1:
        problem = f"{name!r} in the zip has a password."
    if problem:
        raise InputError(problem, file=path, hint="It is not opened; export the annotations again.")


def _refuse_bomb(info: zipfile.ZipInfo, path: Path) -> None:
    # Only the member that is read matters: others, such as a dump's images, are never unpacked.
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > MAX_BYTES or (info.file_size > RATIO_FREE_BYTES and ratio > MAX_RATIO):
        raise InputError(
            f"{info.filename!r} in the zip unpacks to {info.file_size >> 20} MiB "
            f"({ratio:.0f} times its size), as a zip bomb does.",
            file=path,
            hint="Unpack it yourself if you trust it, and give the XML.",
        )
