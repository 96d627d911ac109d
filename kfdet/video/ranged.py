"""Bytes that are somewhere else, read in ranges: enough to look at the index of a video."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

_BLOCK = 1 << 16
_MOST_AHEAD = 32
"""Blocks that are read at once: more and more while they are read in their order."""
_MOST_KEPT = 256
"""Blocks: the index of a video of five hours is read once, and 16 MiB are held for it."""

Span = tuple[int, int]
"""First byte, and the first one behind the span."""


class Ranged:
    """The bytes of a file, of which ranges are read when they are needed.

    Args:
        read: Gives the bytes from a first one up to another one.
        size: Number of bytes.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size = read, size
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next, self._ahead = -1, 1

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        first, end, _ = span.indices(self._size)
        if end <= first:
            return b""
        start = first // _BLOCK
        blocks = [self._block(number) for number in range(start, (end - 1) // _BLOCK + 1)]
        return b"".join(blocks)[first - start * _BLOCK : end - start * _BLOCK]

    def file(self, hollow: Sequence[Span] = ()) -> BinaryIO:
        """A seekable file of these bytes.

        Args:
            hollow: Spans that are never read: they seem to hold zeros.
        """
        return cast(BinaryIO, _File(self, hollow))

    def _block(self, number: int) -> bytes:
        found = self._blocks.get(number)
        if found is not None:
            self._blocks.move_to_end(number)
            return found
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if number == self._next else 1
        self._next = number + self._ahead
        data = self._read(number * _BLOCK, min(self._next * _BLOCK, self._size))
        for place in range(0, len(data), _BLOCK):
            self._blocks[number + place // _BLOCK] = data[place : place + _BLOCK]
        while len(self._blocks) > _MOST_KEPT:
            self._blocks.popitem(last=False)
        return self._blocks[number]


class _File(io.RawIOBase):
    """A position in ranged bytes."""

    def __init__(self, data: Ranged, hollow: Sequence[Span]) -> None:
        super().__init__()
        self._data, self._hollow, self._place = data, hollow, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._data)}[whence]
        self._place = max(0, start + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, len(self._data) - self._place)
        end = self._place + (left if size < 0 else min(size, left))
        parts = []
        while self._place < end:
            parts.append(self._part(end))
            self._place += len(parts[-1])
        return b"".join(parts)

    def _part(self, end: int) -> bytes:
        """Bytes from the position on, up to `end` or to where a hollow span begins or ends."""
        for first, behind in self._hollow:
            if first <= self._place < behind:
                return bytes(min(end, behind) - self._place)
            if self._place < first:
                end = min(end, first)
        return self._data[self._place : end]
