"""Times of a schedule: the five fields that cron takes, as the six that Kubeflow Pipelines takes.

Given five fields, KFP would read the first as seconds and run at the wrong times. Source of the
format: github.com/robfig/cron 1.2 (parser.go, spec.go), which KFP 2.17 uses.
"""

from __future__ import annotations

import re

from kfdet.errors import InputError

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_RANGE = re.compile(
    r"(?:[*?]|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[1-9][0-9]*))?", re.ASCII
)


def six_fields(text: str) -> str:
    """The schedule as second, minute, hour, day of the month, month and day of the week.

    >>> six_fields("0 3 * * mon-fri")
    '0 0 3 * * mon-fri'

    Args:
        text: Five fields, as cron takes them, or six, which begin with the second.

    Raises:
        InputError: It has another number of fields, or one of them is out of its limits.
    """
    parts = text.split()
    if len(parts) == len(_FIELDS) - 1:
        parts = ["0", *parts]
    if len(parts) != len(_FIELDS):
        raise InputError(
            f"--cron must have five fields (minute, hour, day of the month, month, day of the "
            f"week), got {text!r}.",
            hint='Write for example "0 3 * * *": every day at 3:00.',
        )
    for part, (name, least, most, words) in zip(parts, _FIELDS, strict=True):
        if not all(_is_range(each, least, most, words) for each in part.split(",")):
            also = f" or {words[0]} to {words[-1]}" if words else ""
            raise InputError(
                f"--cron: the {name} must be {least} to {most}{also}, a range such as "
                f"{least}-{least + 2}, a list of these or *, got {part!r}.",
                hint="0 is Sunday." if words == _DAYS else "",
            )
    return " ".join(parts)


def _is_range(text: str, least: int, most: int, words: list[str]) -> bool:
    found = _RANGE.fullmatch(text)
    if not found:
        return False
    if found["low"] is None:
        return True
    low = _number(found["low"], least, words)
    high = _number(found["high"], least, words) if found["high"] else low
    return low is not None and high is not None and least <= low <= high <= most


def _number(text: str, least: int, words: list[str]) -> int | None:
    if text.isdecimal():
        return int(text)
    return least + words.index(text.lower()) if text.lower() in words else None
