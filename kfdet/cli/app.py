"""What the commands share: the application, its consoles, and common arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from kfdet import __version__
from kfdet.cli.options import with_parameters
from kfdet.console.printable import SafeConsole

F = TypeVar("F", bound=Callable[..., Any])

_ORDER = (
    "demo",
    "run",
    "sweep",
    "check",
    "evaluate",
    "detect",
    "convert",
    "score",
    "serve",
    "load",
    "upload",
    "submit",
    "schedule",
    "schedules",
    "runs",
    "download",
    "prune",
    "compile",
    "deploy",
)
"""The commands in the order in which a user needs them; others follow."""

_USE = "To use a detector: 'kfdet detect photo.jpg --model RUN', or 'kfdet serve RUN'."
_RUN = "'kfdet run' trains, exports and evaluates."
_EVALUATE = "'kfdet evaluate MODEL DATASET' measures any model on any dataset."
_ELSEWHERE = {
    **dict.fromkeys(("infer", "inference", "predict", "track", "use"), _USE),
    **dict.fromkeys(("export", "fit", "train"), _RUN),
    "benchmark": "'kfdet load ENDPOINT' measures an endpoint; " + _EVALUATE,
    **dict.fromkeys(("compare", "eval", "measure", "test", "val"), _EVALUATE),
    **dict.fromkeys(("lint", "validate", "verify"), "'kfdet check' lists a dataset's problems."),
    **dict.fromkeys(("follow", "logs", "status"), "'kfdet submit --follow RUN' follows a run."),
}
"""What other programs call a command, and where it is in this one."""

_SIMILAR = 0.65
"""From which similarity on a name counts as misspelt: "chek" and "runs", but not "sweep"."""


def _without_types_of_flags(parameters: list[Any]) -> list[Any]:
    """Show no type in the help of an option that takes no value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's arguments and options."""
        return _without_types_of_flags(super().get_params(ctx))


class _Listed(TyperCommand):
    """A command as the list of all shows it.

    Its options are made when it is called: those of all commands would take longer than all else
    that `kfdet --help` does.
    """

    def __init__(self, function: Callable[..., None], kind: type[Command], **shown: Any) -> None:
        super().__init__(**shown)
        self._function, self._kind = function, kind

    def build(self) -> Any:
        """The command with its arguments and options."""
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        single.command(self.name, cls=self._kind, help=self.help)(with_parameters(self._function))
        return typer.main.get_command(single)


_listed: dict[str, _Listed] = {}


def command(
    name: str = "", *, kind: type[Command] = Command, hidden: bool = False
) -> Callable[[F], F]:
    """Make the decorated function a command.

    Its help is its docstring, each paragraph as one line for the terminal; an argument that is a
    dataclass of parameters becomes one option for each field.

    Args:
        name: Its name, unless it is that of the function.
        kind: Its class.
        hidden: Whether the list of commands leaves it out.
    """

    def register(function: F) -> F:
        paragraphs = (inspect.getdoc(function) or "").split("\n\n")
        text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
        own = name or function.__name__
        _listed[own] = _Listed(function, kind, name=own, help=text, hidden=hidden)
        return function

    return register


class _Commands(TyperGroup):
    """The commands of kfdet; an unknown one is answered with what there is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "commands": dict(_listed)})

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before the name of a command."""
        return _without_types_of_flags(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands in the order of the help text."""
        names = [name for name in super().list_commands(ctx) if not self.commands[name].hidden]
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begins with, or suggest one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            names = self.list_commands(ctx)
            similar = next(iter(get_close_matches(name, [*names, *_ELSEWHERE], 1, _SIMILAR)), "")
            hint = _ELSEWHERE.get(similar) or (f"Did you mean '{similar}'?" if similar else "")
            ctx.fail(f"No such command '{name}'. {hint or 'Commands: ' + ', '.join(names) + '.'}")
        _, found, rest = super().resolve_command(ctx, args)
        return name, found.build() if isinstance(found, _Listed) else found, rest


app = typer.Typer(
    name="kfdet",
    cls=_Commands,
    help="Key frames in, a served detector out: film objects, draw boxes on a few key frames, "
    "and get a trained, evaluated and exported object detector.",
    epilog="Start with: kfdet demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

out = SafeConsole(highlight=False)
"""Results."""

err = SafeConsole(stderr=True, highlight=False)
"""Progress, warnings and errors."""

Datasets = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET",
        help="Folder with videos/ and/or images/ and annotations/, or with a video beside its "
        "annotation file; a zip of it; or minio://BUCKET/NAME after an upload. Several are merged "
        "by label.",
    ),
]
RunFolder = Annotated[
    Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace a run of another dataset in RUN.")
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
