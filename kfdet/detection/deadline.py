"""A deadline for calls that have none of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, if it ends in time.

    It runs in a thread that is left behind where it does not. Timeouts of sockets bound one read,
    but a server that sends a byte now and then, in its headers too, needs any number of them.

    Raises:
        TimeoutError: It did not end in time.
    """
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # raised again by the one who waits
            outcome.put((None, error))

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        result, error = outcome.get(timeout=max(seconds, 0))
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
