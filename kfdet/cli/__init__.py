"""The command line.

Exit status: 0 done, 1 failed, 2 bad input or wrong usage, 130 interrupted, 143 ended by SIGTERM.
Every error is one message on standard error; what a script reads goes to standard output.

One module per group of commands. What a command needs is imported when it runs, so that
`kfdet --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from kfdet.cli import (
    compiling,
    data,
    deployment,
    detection,
    evaluation,
    load,
    local,
    runs,
    scheduling,
    scoring,
    serving,
    storage,
    submission,
)
from kfdet.cli.app import app, err
from kfdet.errors import KfdetError, explain_missing_packages
from kfdet.signals import exit_on_sigterm

__all__ = [
    "compiling",
    "data",
    "deployment",
    "detection",
    "evaluation",
    "load",
    "local",
    "main",
    "runs",
    "scheduling",
    "scoring",
    "serving",
    "storage",
    "submission",
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        with exit_on_sigterm(), explain_missing_packages():
            app(args=arguments)
    except KfdetError as error:
        message, notes, status = str(error), getattr(error, "__notes__", []), error.exit_status
    except OSError as error:
        from kfdet.files import unexplained_os_error

        problem = unexplained_os_error(error)
        if problem is None:
            raise
        message, notes, status = str(problem), [], problem.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    err.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    for note in notes:
        err.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    return status
