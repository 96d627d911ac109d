"""Datasets: check, convert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.markup import escape

from kfdet.cli.app import Datasets, Json, command, err, out, progress
from kfdet.console.printable import printable
from kfdet.dataset.formats import FormatName
from kfdet.errors import Problem
from kfdet.parameters import DatasetSettings, Interpolation, Parameters, SplitSettings


@command()
def check(
    dataset: Datasets,
    choice: DatasetSettings,
    split: SplitSettings,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 2 on warnings, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Describe one dataset or several, the split that a run would make, and every problem.

    Problems name the file, line and frame. The exit status is 2 if there is an error, which would
    stop a run; warnings count only with --strict.

    [bold]Examples[/]

    kfdet check videos/ && kfdet run videos/ -o run

    kfdet check videos/ --strict

    kfdet check videos/ --rename bb8=BB-8 --test "garage*"
    """
    from kfdet.dataset.several import join_datasets, part_names
    from kfdet.events import with_aliases
    from kfdet.planning.check import check as check_dataset
    from kfdet.storage.copies import local_dataset

    parameters = Parameters(**asdict(choice), **asdict(split))
    with progress(), local_dataset(join_datasets(dataset)) as folder:
        found = check_dataset(folder, parameters, part_names(dataset))
        found = replace(found, problems=tuple(map(with_aliases, found.problems)))
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print_problems(found.problems)
        print(printable(found.description))
    if found.errors or (strict and found.problems):
        raise typer.Exit(2)


def _print_problems(problems: Sequence[Problem]) -> None:
    colours = {"error": "red", "warning": "yellow"}
    for problem in problems:
        colour = colours[problem.severity]
        out.print(f"[{colour}]{problem.severity}:[/] {escape(str(problem))}", soft_wrap=True)


@command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A dataset's folder or zip, or one annotation file; a folder or file may be in a "
            "bucket.",
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The file or folder to write.")],
    to: Annotated[
        FormatName,
        typer.Option(metavar="FORMAT", help=f"One of {', '.join(get_args(FormatName))}."),
    ],
    key_frames: Annotated[
        bool, typer.Option("--key-frames", help="Only frames that a person drew on.")
    ] = False,
    interpolation: Annotated[
        Interpolation,
        typer.Option(help="How boxes move between key frames; auto and tracked need the videos."),
    ] = "linear",
    as_json: Json = False,
) -> None:
    """Write annotations in another format: boxes on every frame, or on key frames only.

    [bold]Examples[/]

    kfdet convert videos/ coco/ --to coco

    kfdet convert annotations.xml boxes.parquet --to parquet

    kfdet convert videos/ yolo/ --to yolo --interpolation auto
    """
    from kfdet.dataset.conversion import convert as convert_annotations
    from kfdet.events import with_aliases
    from kfdet.planning.summary import count
    from kfdet.storage.copies import local_source

    with progress(), local_source(source) as path:
        done = convert_annotations(
            path, target, to, key_frames=key_frames, interpolation=interpolation
        )
        warnings = [with_aliases(warning) for warning in done.warnings]
    if as_json:
        print(
            json.dumps(
                {
                    "target": str(done.target),
                    "sources": done.sources,
                    "frames": done.frames,
                    "boxes": done.boxes,
                    "warnings": [asdict(warning) for warning in warnings],
                }
            )
        )
        return
    for warning in warnings:
        err.print(f"[yellow]warning:[/] {escape(str(warning))}", soft_wrap=True)
    out.print(
        f"{count(done.boxes, 'box')} on {count(done.frames, 'frame')} of "
        f"{count(done.sources, 'source')} → "
        f"{escape(str(done.target))}",
        soft_wrap=True,
    )
