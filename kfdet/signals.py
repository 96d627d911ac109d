"""Ending in order when the process is told to end, as by Kubernetes or `kill`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM end the block with SystemExit(143), so that `finally` blocks run.

    By itself it ends a Python process on the spot, and what was begun stays behind. Nothing changes
    in another thread than the main one, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _unwind(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # tidying up is not to be interrupted
    sys.exit(128 + signal.SIGTERM)
