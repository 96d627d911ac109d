"""Bounds on what a piece of code may take, for input that is made to hurt."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float, mebibytes: float = 300) -> Iterator[None]:
    """Fail where the block takes more processor time, or raises the peak of the memory more."""
    peak, started = _peak(), time.process_time()
    yield
    taken, grown = time.process_time() - started, _peak() - peak
    assert taken < seconds, f"{taken:.1f} s of processor time, at most {seconds} are expected"
    assert grown < mebibytes, f"{grown:.0f} MiB, at most {mebibytes} are expected"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
