"""Files that are whole or absent, digests, zip and JSON files, locked folders, usable cores."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kfdet.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

REMAKE = "Delete the folder that it is in and repeat the run: it is made anew."
"""What to do about a damaged file that a stage wrote."""

_MOST_BYTES = 4 << 30
"""Of a file that is read as a whole; the largest annotations that are shared have a tenth."""
_MOST_PLACE = 200
"""Characters of a message that come from a file."""
_CGROUPS = Path("/proc/self/cgroup")
_CGROUP_MOUNT = Path("/sys/fs/cgroup")


def os_hint(error: OSError) -> str:
    """What a user can do about a failed file operation ("" when nothing special)."""
    hints = {
        errno.ENOSPC: "Free some space or choose another folder.",
        errno.EDQUOT: "Your disk quota is used up; free some space or choose another folder.",
        errno.EROFS: "The file system is read-only; choose another folder.",
        errno.EACCES: "Change its permissions or choose another place.",
        errno.EPERM: "Change its permissions or choose another place.",
    }
    return hints.get(error.errno or 0, "")


def unexplained_os_error(error: OSError) -> InputError | None:
    """A failed file operation that no one nearer to it has explained; None where it was no file."""
    if error.filename is None and error.errno is None:
        return None
    return InputError(f"{error.strerror or error}.", file=error.filename or "", hint=os_hint(error))


def explain_os_error(error: OSError, path: Path) -> InputError:
    """The InputError that explains why `path` cannot be written and what to do."""
    reason = error.strerror or str(error)
    return InputError(f"cannot write: {reason}.", file=path, hint=os_hint(error))


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it replaces `path` when the block ends well.

    Raises:
        InputError: The folder cannot be written or the disk is full; nothing is left behind.
    """
    with _atomic(path, lambda temporary: temporary.touch(exist_ok=False)) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it replaces `path` when the block ends well.

    Raises:
        InputError: The folder cannot be written or the disk is full; nothing is left behind.
    """
    with _atomic(path, Path.mkdir) as temporary:
        yield temporary


@contextmanager
def _atomic(path: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    # touch() and mkdir(), unlike the tempfile module, leave the permissions to the umask: reading
    # the umask means setting it, for every thread of the process.
    # A name may have 255 bytes, and a character up to 4.
    temporary = path.parent / f".{path.name[:50]}.{secrets.token_hex(6)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that no file can have is known before the work
        create(temporary)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        # os.path.isdir(), unlike Path.is_dir(), raises nothing where the place cannot be looked at
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # nothing was created
                temporary.unlink()


@contextmanager
def lock_folder(folder: Path, name: str, busy: str) -> Iterator[int]:
    """Hold a folder, which is made, for this process; gives the lock's file descriptor.

    The lock lasts until the last process that inherited the descriptor has ended.

    Args:
        folder: The folder.
        name: Name of the lock file in it.
        busy: What to say where another process holds it, with {} for that one's ID.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                busy.format(file.read().strip()),
                file=folder,
                hint="Wait for it, or choose another folder.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path], folder: Path) -> str:
    """SHA-256 over the names relative to `folder` and the contents of files, in any order."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()}\0{hash_file(path)}\n".encode())
    return total.hexdigest()


def list_files(folder: Path) -> list[Path]:
    """All files below `folder`, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below `folder`."""
    return hash_files(list_files(folder), folder)


def write_zip(
    path: Path,
    entries: Mapping[str, bytes | Path],
    *,
    compress: bool = False,
    append: bool = False,
) -> None:
    """Write a zip file; the same entries give the same bytes.

    Args:
        path: The file to write.
        entries: Content by name in the archive, or the file that has it; they keep their order.
        compress: Deflate the entries.
        append: Attach the archive to the end of an existing file.
    """
    with zipfile.ZipFile(path, "a" if append else "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)  # dated 1980-01-01, whatever the clock
            entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                continue
            entry.file_size = content.stat().st_size  # above 2 GiB, the entry is a Zip64 one
            with content.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def read_zip(path: Path) -> dict[str, bytes]:
    """The content of each entry of a zip file by name, in the order of the archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read_whole(path: Path, most: int = _MOST_BYTES) -> bytes:
    """The content of a regular file; a pipe or device is refused, as its end may never come.

    Args:
        path: The file.
        most: The largest size in bytes that is read.

    Raises:
        InputError: It is something else, or larger.
        OSError: It cannot be read.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise InputError("is a pipe or a device, not a file.", file=path)
        if state.st_size > most:
            raise InputError(f"is larger than {most >> 20:,} MiB.", file=path)
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    # Without the flag, to open a pipe waits for its other end.
    return os.open(path, flags | os.O_NONBLOCK)


def read_json(path: Path, *, hint: str = "") -> Any:
    """The content of a JSON file; NaN and Infinity are numbers.

    Args:
        path: The file.
        hint: What a user can do about an unreadable file.

    Raises:
        InputError: The file cannot be read or is not JSON; names the line.
    """
    return _loads(_content(path, hint), path, hint)


def read_json_object(path: Path, *, hint: str = "") -> dict[str, Any]:
    """The content of a JSON file whose outermost value is an object.

    Args:
        path: The file.
        hint: What a user can do about an unreadable file.

    Raises:
        InputError: The file cannot be read or is not a JSON object.
    """
    return _object(read_json(path, hint=hint), path, hint)


def read_json_as(path: Path, kind: type[T], *, hint: str = "") -> T:
    """A dataclass from a JSON file; see `parse_json`."""
    return parse_json(_content(path, hint), kind, path, hint=hint)


def read_document(path: Path, shape: type[Any], *, hint: str = "") -> dict[str, Any]:
    """The content of a JSON file, an object, after a check of the parts that a dataclass names.

    Args:
        path: The file.
        shape: The dataclass; fields with a default may be absent.
        hint: What a user can do about a damaged file.

    Raises:
        InputError: As for `parse_json`.
    """
    content = _content(path, hint)
    document = _object(_loads(content, path, hint), path, hint)
    parse_json(content, shape, path, hint=hint)
    return document


def parse_json(
    text: bytes, kind: type[T], file: Path, *, line: int | None = None, hint: str = ""
) -> T:
    """A dataclass from a JSON object: values have its types and limits, and numbers are finite.

    What it does not name is left out, so that an older version reads what a newer one wrote.

    Args:
        text: The JSON.
        kind: The dataclass; its fields may be annotated with pydantic's limits.
        file: For messages.
        line: Likewise, where the text is one line of the file.
        hint: What a user can do about a damaged file.

    Raises:
        InputError: The text is something else; names the first value that is wrong.
    """
    from pydantic import ValidationError

    try:
        # A dataclass alone takes no settings; the tuple passes them on.
        found: tuple[T] = _adapter(kind).validate_json(b"[" + text + b"]")  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"][1:]))[:_MOST_PLACE]
        message = first["msg"][:_MOST_PLACE]
        if first["type"] == "missing" and place:
            problem = f"{place} is missing"
        elif first["type"] == "json_invalid" or not place:
            problem = f"is not what kfdet wrote: {message}"
        elif message.startswith("Input "):
            problem = f"{place} {message.removeprefix('Input ')}"
        else:
            problem = f"{place}: {message}"
        raise InputError(f"{problem}.", file=file, line=line, hint=hint) from error
    return found[0]


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    settings = ConfigDict(strict=True, allow_inf_nan=False)
    return TypeAdapter(tuple[kind], config=settings)  # type: ignore[valid-type]


def _content(path: Path, hint: str) -> bytes:
    try:
        return read_whole(path)
    except OSError as error:
        raise InputError(
            f"cannot read: {error.strerror or error}.", file=path, hint=hint or os_hint(error)
        ) from error


def _loads(content: bytes, path: Path, hint: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(
            f"is not JSON: {error.msg}.", file=path, line=error.lineno, hint=hint
        ) from error
    except (ValueError, RecursionError) as error:  # no text, a number of 5,000 digits, nested deep
        raise InputError(f"is not JSON: {error}.", file=path, hint=hint) from error


def _object(content: Any, path: Path, hint: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError("is not a JSON object.", file=path, hint=hint)
    return content


def count_cores() -> int:
    """Processor cores that this process may use: its affinity and its container's CPU limit."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_limit())))


def _cpu_limit() -> float:
    """Seconds of processor time per second that the process's control groups allow.

    Version 2 keeps quota and period in one file, version 1 in two. A group is bound by its
    ancestors, too. In a container, its own group is mounted as the root, whatever its path says.
    """
    limit = math.inf
    with suppress(OSError, ValueError):
        for line in _CGROUPS.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = _CGROUP_MOUNT / controllers
            group = mount / name.strip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(mount):
                    break
                limit = min(limit, _quota(folder))
    return limit


def _quota(group: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text()
        period = (group / "cpu.cfs_period_us").read_text()
        return math.inf if int(quota) < 0 else int(quota) / int(period)
    return math.inf
