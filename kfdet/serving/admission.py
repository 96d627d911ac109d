"""Whose turn it is: few requests run at a time, small ones first, and a short queue waits.

One large request must not hold up small ones: it runs in pieces, at most all processors but one
work on large requests, and of those that wait for a processor the smallest is next.
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from kfdet.files import count_cores
from kfdet.serving.limits import Limits
from kfdet.serving.model import ServingError

_LARGE_SHARE = 8
_SECONDS_AFTER = 1.0

_Ticket = tuple[int, int]
"""The cost of a request, and its number; ordered by whose turn is first."""


class Admission:
    """The queue of one server; all methods may be called from several threads.

    Args:
        limits: How many requests wait.
        cores: Requests that run at a time: at least two, of which one is kept for small ones.
    """

    def __init__(self, limits: Limits, cores: int = 0) -> None:
        self._slots = max(2, cores or count_cores())
        large_slots = self._slots - 1
        self._free = {True: large_slots, False: self._slots}
        self._most = {
            True: large_slots + max(1, limits.waiting // _LARGE_SHARE),
            False: self._slots + limits.waiting,
        }
        self._inside = {True: 0, False: 0}
        self._waiting: dict[bool, list[_Ticket]] = {True: [], False: []}
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._pending: threading.Timer | None = None

    @property
    def capacity(self) -> int:
        """Requests that can be inside at once, running or waiting."""
        return sum(self._most.values())

    @contextmanager
    def request(self, *, large: bool) -> Iterator[None]:
        """Take in one request for the time of the block, or refuse it.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, too many are inside.
        """
        with self._changed:
            if self._inside[large] >= self._most[large]:
                kind = "large requests" if large else "requests"
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"The server is busy: {self._most[large]} {kind} run or wait (--max-waiting). "
                    "Send the request again later.",
                )
            self._inside[large] += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[large] -= 1
                if large and self._pending is None:
                    # A moment later, when nothing holds the request and its answer any more.
                    self._pending = threading.Timer(_SECONDS_AFTER, self._tidy)
                    self._pending.daemon = True
                    self._pending.start()

    @contextmanager
    def turn(self, *, large: bool, cost: int) -> Iterator[None]:
        """Wait for a processor and keep it for the time of the block: one piece of a request.

        Args:
            large: As for `request`.
            cost: Of those that wait, the request with the lowest is next.
        """
        ticket = (cost, next(self._numbers))
        waiting = self._waiting[large]
        with self._changed:
            bisect.insort(waiting, ticket)
            self._changed.wait_for(lambda: waiting[0] == ticket and self._is_free(large))
            waiting.pop(0)
            self._count(large, -1)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._count(large, 1)
                self._changed.notify_all()

    def _tidy(self) -> None:
        with self._changed:
            self._pending = None
        _return_memory()

    def _is_free(self, large: bool) -> bool:
        return self._free[False] > 0 and (not large or self._free[True] > 0)

    def _count(self, large: bool, change: int) -> None:
        self._free[False] += change
        if large:
            self._free[True] += change


def _return_memory() -> None:
    """Give freed memory back to the system, which glibc else keeps for the next large request."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # another C library
        return
