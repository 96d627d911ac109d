"""A console that shows names of files and answers of servers, but never obeys them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and line break, those that turn the direction of text around, and
bytes of names that are no text, which cannot be written."""


def printable(text: str) -> str:
    r"""`text` with control characters as Python writes them.

    >>> print(printable("a\x1b[2J.jpg"))
    a\x1b[2J.jpg
    """
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text)


class SafeConsole(Console):
    """Rich's console; escape codes in what is printed are shown instead of sent."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as Rich measures it: printable before its width is known."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What Rich draws, with all of its text printable."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
