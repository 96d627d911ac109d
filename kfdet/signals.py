"""Graceful shutdown on SIGTERM, as sent by Kubernetes or `kill`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_on_sigterm(status: int = 128 + signal.SIGTERM) -> Iterator[None]:
    """Let SIGTERM end the block with SystemExit(status), so that `finally` blocks run.

    By default the signal ends a Python process on the spot, and what was begun is left behind.
    Only the main thread receives signals: in another thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the cleanup
        sys.exit(status)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
