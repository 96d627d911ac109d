"""One command line option for each field of the dataclasses that hold parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from docstring_parser import parse

from kfdet.errors import InputError
from kfdet.parameters import Network


def with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command options in place of each argument of a dataclass, one a field.

    The help of an option is its description in the docstring of the dataclass. `--overrides` names
    a file; the parameter holds its text.
    """
    own = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: p.annotation for name, p in own.parameters.items() if is_dataclass(p.annotation)
    }
    arguments: list[inspect.Parameter] = []
    for name, argument in own.parameters.items():
        arguments += _options(groups[name], argument.kind) if name in groups else [argument]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        overrides: Path | None = given.get("overrides")
        if "overrides" in given:
            given["overrides"] = _read(overrides) if overrides else ""
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    run.__dict__["__signature__"] = own.replace(parameters=arguments)
    run.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    return run


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError("this is no text in UTF-8.", file=path) from error


def _options(kind: Any, place: Any) -> Iterator[inspect.Parameter]:
    described = {entry.arg_name: entry.description for entry in parse(kind.__doc__ or "").params}
    described["network"] = f"One of {', '.join(get_args(Network))}."
    described["overrides"] = "File of Model Garden settings on top of everything else."
    hints = {**get_type_hints(kind), "overrides": Path | None}
    for field in fields(kind):
        yield inspect.Parameter(
            field.name,
            place,
            default=None if field.name == "overrides" else field.default,
            annotation=Annotated[
                hints[field.name], typer.Option(help=described[field.name], **field.metadata)
            ],
        )
