"""Waiting for what another thread or process does, however slow the machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

SECONDS = 600.0
"""What has not happened by then does not happen."""


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None
) -> None:
    """Wait until a condition holds; fail when `process`, which brings it about, ends first."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process is None or process.poll() is None, "the process has ended before"
        assert time.monotonic() < deadline, "what the test waits for does not happen"
        time.sleep(0.05)
