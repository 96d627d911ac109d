"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kfdet.errors import InputError


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


def explain_os_error(error: OSError, path: Path) -> InputError:
    """The InputError that tells a user why `path` cannot be written and what to do."""
    reason = error.strerror or str(error)
    return InputError(f"cannot write: {reason}.", file=path, hint=os_hint(error))


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    Raises:
        InputError: The folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it replaces `path` when the block ends well.

    Raises:
        InputError: The folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
