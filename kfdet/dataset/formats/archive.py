"""Opening annotation files, plain or inside a zip that may be hostile."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO, NamedTuple

from kfdet.dataset.formats.pictures import safe_path
from kfdet.errors import InputError

MAX_BYTES = 2 << 30
MAX_MEMBERS = 1_000_000
MAX_RATIO = 250
RATIO_FREE_BYTES = 32 << 20
"""Sizes up to this need no ratio check: text of one repeated box compresses a few hundred times."""
_CHUNK = 1 << 20
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(RuntimeError, ValueError, FileExistsError, NotADirectoryError),
)
"""What Python raises for a damaged zip, beside OSError."""
_DAMAGE_NUMBERS = (None, errno.EINVAL)
"""Of an OSError: bzip2's has none, a place before the start of the file this one."""


def member_names(path: Path) -> list[str]:
    """Names of the files in a zip, after checking that it is safe to open.

    Raises:
        InputError: Not a zip, a member that leaves the folder (`../`, absolute, symbolic link), a
            password, or a zip bomb.
    """
    with _open(path) as archive:
        return [info.filename for info in archive.infolist() if not info.is_dir()]


def read_members(path: Path, names: Collection[str], most_bytes: int) -> dict[str, bytes]:
    """The content of those of the named members that a zip has.

    Raises:
        InputError: As `member_names`; or a member has more than `most_bytes`, or is damaged.
    """
    found = {}
    with _open(path) as archive:
        for info in archive.infolist():
            if info.filename in names:
                _refuse_bomb(info, path, most_bytes)
                with _explain_damage(path):
                    found[info.filename] = archive.read(info)
    return found


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
        with _explain_damage(path):
            member_file = archive.open(found[0])
        with member_file:
            yield _Member(member_file, path)  # type: ignore[misc]


class _Member:
    """A member of a zip that is read: damage is an InputError there, and only there."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        """The next bytes, b"" at the end."""
        with _explain_damage(self._path):
            return self._file.read(size)

    def close(self) -> None:
        """Close it, as parsers do at the end."""
        self._file.close()


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:  # what Windows does with files above 2 GB
        raise InputError(
            "the zip is compressed in a way that kfdet does not know.",
            file=path,
            hint="Unpack it yourself, or make the zip with another program.",
        ) from error
    except (*_DAMAGE, OSError) as error:
        number = getattr(error, "errno", None)
        if number not in _DAMAGE_NUMBERS and not isinstance(error, _DAMAGE):
            raise  # of the disk, not of the zip
        raise InputError(
            f"the zip is damaged: {error}.", file=path, hint="Make it again."
        ) from error


@contextmanager
def unpacked(path: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """A temporary folder with the files in a zip that have one of these suffixes (lower case).

    Raises:
        InputError: As `unpack`.
    """
    with TemporaryDirectory(prefix="kfdet-zip-") as folder:
        wanted = [m.name for m in list_members(path) if PurePath(m.name).suffix.lower() in suffixes]
        unpack(path, Path(folder), wanted, MAX_BYTES)
        yield Path(folder)


class Member(NamedTuple):
    """One file in a zip: its safe path, its size in bytes and the CRC-32 of what it holds."""

    name: str
    size: int
    crc: int


def list_members(path: Path) -> list[Member]:
    """The files in a zip, sorted by name.

    Raises:
        InputError: As `member_names`; or a member has no possible name of a file.
    """
    with _open(path) as archive:
        members = _files(archive, path)
    return [Member(name, info.file_size, info.CRC) for name, info in sorted(members.items())]


def unpack(path: Path, folder: Path, names: Iterable[str], most_bytes: int) -> None:
    """Write files of a zip below `folder`, under the names that `list_members` gives.

    Args:
        path: The zip.
        folder: Where to; of no use after an error.
        names: The files to write.
        most_bytes: What they may take in all.

    Raises:
        InputError: As `list_members`; or the zip is damaged, or holds more than kfdet unpacks.
    """
    with _open(path) as archive:
        members = _files(archive, path)
        wanted = {name: members[name] for name in names}
        total = sum(info.file_size for info in wanted.values())
        if total > most_bytes or len(wanted) > MAX_MEMBERS:
            raise InputError(
                f"the zip unpacks to {len(wanted)} files of {total >> 20} MiB; there is room for "
                f"{most_bytes >> 20} MiB and {MAX_MEMBERS:,} files.",
                file=path,
                hint="Unpack it yourself if you trust it.",
            )
        # members may share their bytes, so that each of them looks harmless
        _refuse_ratio("the zip", total, path.stat().st_size, path)
        for name, info in wanted.items():
            _refuse_bomb(info, path, most_bytes)
            target = folder / name
            with _explain_damage(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as stream, target.open("xb") as file:
                    shutil.copyfileobj(stream, file, _CHUNK)


def _files(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their safe path."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = str(safe_path(info.filename, str(path)))
        if name in found:
            raise InputError(
                f"the zip is damaged: {name!r} is in it twice.", file=path, hint="Make it again."
            )
        found[name] = info
    return found


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    if path.exists() and not path.is_file():
        raise InputError("is not a file.", file=path)
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGE, NotImplementedError) as error:
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
    elif not name:
        problem = "the zip is damaged: a file in it has no name."
    if problem:
        raise InputError(problem, file=path, hint="It is not opened; export the annotations again.")


def _refuse_bomb(info: zipfile.ZipInfo, path: Path, most_bytes: int = MAX_BYTES) -> None:
    # Only the member that is read matters: others, such as a dump's images, are never unpacked.
    if info.file_size > most_bytes:
        raise _bomb(repr(info.filename), info.file_size, info.compress_size, path)
    _refuse_ratio(repr(info.filename), info.file_size, info.compress_size, path)


def _refuse_ratio(what: str, size: int, packed: int, path: Path) -> None:
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * max(packed, 1):
        raise _bomb(what, size, packed, path)


def _bomb(what: str, size: int, packed: int, path: Path) -> InputError:
    place = what if what == "the zip" else f"{what} in the zip"
    return InputError(
        f"{place} unpacks to {size >> 20} MiB ({size / max(packed, 1):.0f} times its size), as a "
        "zip bomb does.",
        file=path,
        hint="Unpack it yourself if you trust it.",
    )
