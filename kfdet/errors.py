"""Errors that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Literal

_EXTRAS = {
    "train": (
        *("PIL", "av", "cachetools", "cv2", "datumaro", "flatbuffers", "imagehash", "jinja2"),
        *("official", "orbit", "pycocotools", "scipy", "simplejpeg", "tensorboard"),
        *("tensorflow", "trackforge"),
    ),
    "heic": ("pillow_heif",),
    "serve": ("fastapi", "grpc", "kserve", "orjson", "tensorflow_serving", "uvicorn"),
}
"""The modules that an extra of kfdet installs; only the first extra of those in both."""


def some(names: Sequence[str], most: int = 3) -> str:
    """The names as a sentence lists them, of more than `most` the first ones and how many more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _where(file: str, line: int | None, frame: int | None) -> str:
    place = file if line is None else f"{file}:{line}"
    if frame is not None:
        place = f"{place}, frame {frame}" if place else f"frame {frame}"
    return place


class KfdetError(Exception):
    """A failure with a message written for the user; the command ends with `exit_status`.

    >>> try:
    ...     kfdet.Detector.load("no-such-model")
    ... except kfdet.KfdetError as error:
    ...     print(error.exit_status)
    2
    """

    exit_status = 1


class InputError(KfdetError):
    """Bad input: names the place (file, line, frame), the problem and the way out.

    >>> try:
    ...     kfdet.load_dataset("no-such-folder")
    ... except kfdet.InputError as error:
    ...     print(error.file)
    no-such-folder

    Args:
        problem: What is wrong, one sentence.
        file: The file at fault, as the user named it.
        line: 1-based line in that file.
        frame: 0-based frame of the source video.
        hint: What to do about it.
    """

    exit_status = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | PathLike[str] = "",
        line: int | None = None,
        frame: int | None = None,
        hint: str = "",
    ) -> None:
        self.problem = problem
        self.file = str(file)
        self.line = line
        self.frame = frame
        self.hint = hint
        place = _where(self.file, line, frame)
        message = f"{place}: {problem}" if place else problem
        super().__init__(f"{message} {hint}" if hint else message)


class PlaceError(InputError):
    """What holds the files is at fault, not one of them: the others cannot be used without it."""


@contextmanager
def explain_missing_packages() -> Iterator[None]:
    """Name the extra to install where the block, or the decorated function, needs a package of it.

    Raises:
        KfdetError: A package of one of kfdet's extras is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        for extra, packages in _EXTRAS.items():
            if package in packages:
                raise KfdetError(
                    f"The module {package} is not installed: pip install 'kfdet[{extra}]'."
                ) from error
        raise


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of `kfdet check`: an error stops a run, a warning does not.

    >>> print(kfdet.Problem("error", "the box is empty.", file="toys.xml", line=12, frame=30))
    toys.xml:12, frame 30: the box is empty.
    """

    severity: Literal["error", "warning"]
    problem: str
    file: str = ""
    line: int | None = None
    frame: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = _where(self.file, self.line, self.frame)
        text = f"{place}: {self.problem}" if place else self.problem
        return f"{text} {self.hint}" if self.hint else text

    def error(self) -> InputError:
        """The same finding as an exception."""
        return InputError(
            self.problem, file=self.file, line=self.line, frame=self.frame, hint=self.hint
        )
