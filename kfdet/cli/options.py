"""One command line option for each field of the dataclasses that hold parameters."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from kfdet.errors import InputError
from kfdet.parameters import flatten, join_list, split_list

DatasetUris = Annotated[
    list[str],
    typer.Argument(
        metavar="URI",
        help="The dataset in a bucket, as uploaded with `kfdet upload`. Several are merged by "
        "label.",
        default_factory=list,
        show_default=False,
    ),
]
Host = Annotated[
    str,
    typer.Option(
        envvar="KFDET_KFP_HOST",
        metavar="URL",
        help="Address of Kubeflow Pipelines; empty: through the kubeconfig's cluster.",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="Your profile, where several users share Kubeflow.",
    ),
]
EndpointNamespace = Annotated[
    str,
    typer.Option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="Namespace of endpoint:NAME; default: that of your kubeconfig's context, else "
        "kubeflow.",
    ),
]
Experiment = Annotated[
    str, typer.Option(metavar="NAME", help="The experiment that lists the runs.")
]


def with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field in place of each argument that is a dataclass.

    `--overrides` names a file; the parameter holds its text. An option of a list may be repeated,
    and so may `--grid`.
    """
    flat = flatten(command, _option)
    groups = inspect.signature(command, eval_str=True).parameters.values()
    settings = [fields(group.annotation) for group in groups if is_dataclass(group.annotation)]
    lists = {each.name for group in settings for each in group if each.metadata.get("multiple")}

    @functools.wraps(flat)
    def run(**given: Any) -> None:
        for name in lists & given.keys():
            given[name] = join_list(entry for text in given[name] for entry in split_list(text))
        overrides: Path | None = given.get("overrides")
        if "overrides" in given:
            given["overrides"] = _read(overrides) if overrides else ""
        if "grid" in given:
            given["grid"] = shlex.join(given["grid"])
        flat(**given)

    return run


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text.", file=path) from error


def _option(field: Field[Any], kind: Any) -> tuple[Any, Any]:
    """Annotation and default of the option for a field."""
    options, default = dict(field.metadata), field.default
    if kind in (int, float):
        options.setdefault("metavar", "NUMBER")  # short, so that help texts are not cut
    if field.name == "overrides":
        kind, default = Path | None, None
        options |= {
            "metavar": "FILE",
            "help": "YAML file of Model Garden settings that override all others.",
        }
    if options.pop("multiple", False):
        kind, default = list[str], []
    if field.name == "grid":
        kind, default = list[str], []
        options["help"] = (
            "Values of a training parameter to try: NAME=VALUE,VALUE, or with --random also a "
            "range, NAME=LOW..HIGH. Repeat it for another parameter."
        )
    return Annotated[kind, typer.Option(**options)], default
