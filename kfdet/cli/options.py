"""One command line option for each parameter of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from docstring_parser import parse

from kfdet.parameters import Network, Parameters


def with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of kfdet.parameters, in place of its argument `parameters`.

    The help of an option is its description in the docstring of Parameters. `--overrides` names a
    file; the parameter holds its text.
    """
    own = inspect.signature(command, eval_str=True)
    place = list(own.parameters).index("parameters")
    arguments = list(own.parameters.values())
    arguments[place : place + 1] = _options()

    @functools.wraps(command)
    def run(**given: Any) -> None:
        values = {field.name: given.pop(field.name) for field in fields(Parameters)}
        overrides: Path | None = values["overrides"]
        values["overrides"] = overrides.read_text() if overrides else ""
        command(**given, parameters=Parameters(**values))

    run.__dict__["__signature__"] = own.replace(parameters=arguments)
    run.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    return run


def _options() -> list[inspect.Parameter]:
    described = {
        entry.arg_name: entry.description for entry in parse(Parameters.__doc__ or "").params
    }
    described["network"] = f"One of {', '.join(get_args(Network))}."
    described["overrides"] = "File of Model Garden settings on top of everything else."
    hints = get_type_hints(Parameters)
    hints["overrides"] = Path | None
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if field.name == "overrides" else field.default,
            annotation=Annotated[
                hints[field.name], typer.Option(help=described[field.name], **field.metadata)
            ],
        )
        for field in fields(Parameters)
    ]
