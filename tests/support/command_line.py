"""The command line in a process of its own, and what it answers to wrong usage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

Refused = Callable[[list[str]], str]
"""Runs a command that is refused; returns its message. The fixture is in tests/cli."""


def kfdet(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kfdet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
