"""A file of results that is written over a long time and has its name only when it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from kfdet.files import atomic_file

F = TypeVar("F")


class ResultFile(Generic[F]):
    """A temporary file that is created when it is first written to, and open until it is finished.

    Args:
        path: The file; an earlier one is replaced at the end.
        start: Opens the temporary file that it is given.
    """

    def __init__(self, path: Path, start: Callable[[Path], AbstractContextManager[F]]) -> None:
        self._path, self._start = path, start
        self._stack = ExitStack()
        self._opened: list[F] = []

    @contextmanager
    def writing(self) -> Iterator[F]:
        """The open file.

        Raises:
            InputError: The disk is full, or the like; the temporary file is removed.
        """
        if not self._opened:
            temporary = self._stack.enter_context(atomic_file(self._path))
            with self._explained():
                self._opened.append(self._stack.enter_context(self._start(temporary)))
        with self._explained():
            yield self._opened[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # atomic_file gets the error: it removes the file, and explains why
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise

    def finish(self) -> None:
        """Close the file and give it its name; nothing where it was not begun, or was removed.

        Raises:
            InputError: As `writing`.
        """
        self._stack.close()
