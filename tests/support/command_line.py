"""The command line in a process of its own, and what it answers to wrong usage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Refused = Callable[[list[str]], str]
"""Runs a command that is refused; returns its message. The fixture is in tests/cli."""


def kfdet(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kfdet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def kfdet_on_cluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that may follow a run on a cluster to its end; its lines are not broken."""
    return kfdet(*arguments, timeout=1800, env={**os.environ, "COLUMNS": "200"})
