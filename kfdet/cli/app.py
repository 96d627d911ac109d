"""What the commands share: the application, where they print, and common arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from kfdet import __version__

app = typer.Typer(
    name="kfdet",
    help="Key frames in, a served detector out: film objects, draw boxes on a few key frames, "
    "and get a trained, evaluated and exported object detector.",
    epilog="Start with: kfdet demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

out = Console(highlight=False)
"""What a person or a script asked for."""

err = Console(stderr=True, highlight=False)
"""Progress, warnings and errors."""

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="Folder with videos/ and/or images/ and annotations/, or with a video beside its "
        "annotation file; or minio://BUCKET/NAME of one that was uploaded.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def progress() -> Iterator[None]:
    """Draw the progress of long work in this process while the block runs."""
    from kfdet.console.display import show_events
    from kfdet.events import listening

    with show_events(err) as on_event, listening(on_event):
        yield


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"kfdet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
