"""Values of a file by the type that a reader expects; a ValueError names the one that is not.

Messages continue a sentence such as "region 7 ...".
"""

from __future__ import annotations

import math
from typing import Any

from kfdet.dataset.formats.limits import MAX_ID


def mapping(value: object, what: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"has {what} that is not an object")
    return value


def sequence(value: object, what: str) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise ValueError(f"has {what} that is not a list")
    return value


def number(value: object, what: str) -> float:
    """A finite number, or text that writes one."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"has {what} that is not a number")
    return found


def whole(value: object, what: str) -> int:
    """A whole number, which may be written as 3.0, of at most 53 bits."""
    found = number(value, what)
    if found != int(found) or abs(found) > MAX_ID:
        raise ValueError(f"has {what} that is not a whole number")
    return int(found)


def text(value: object, what: str) -> str:
    """Text, or a number that stands for itself."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(f"has {what} that is not text")
    try:
        return str(value)
    except ValueError:  # a number of 5,000 digits
        raise ValueError(f"has {what} that is too long") from None


def name_of(entry: object, position: int) -> str:
    """What a message calls an entry of a list: its id where it has one, else its position."""
    given = entry.get("id") if isinstance(entry, dict) else None
    return repr(given)[:60] if isinstance(given, str | int) and given != "" else f"#{position + 1}"
