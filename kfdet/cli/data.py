"""Datasets: check, convert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.markup import escape
from rich.table import Table

from kfdet.cli.app import Dataset, Json, app, err, out, progress
from kfdet.dataset.formats import FormatName
from kfdet.errors import Problem

if TYPE_CHECKING:
    from kfdet.planning.check import SplitSummary, Summary

_MOST_ROWS = 20


@app.command()
def check(
    dataset: Dataset,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 2 on warnings, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Describe a dataset, the split that a run would make, and every problem.

    Problems name the file, line and frame. The exit status is 2 if there is an error, which would
    stop a run; warnings do not count unless you ask for it.

    [bold]Examples[/]

    kfdet check videos/ && kfdet run videos/ -o run

    kfdet check videos/ --strict
    """
    from kfdet.events import with_aliases
    from kfdet.planning.check import check as check_dataset
    from kfdet.storage.copies import local_dataset

    with progress(), local_dataset(dataset) as folder:
        found = check_dataset(folder)
        found = replace(found, problems=tuple(map(with_aliases, found.problems)))
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print_problems(found.problems)
        _print_summary(found.summary)
        if found.split:
            _print_split(found.split, found.summary)
        errors = len(found.errors)
        counts = _count(errors, "error"), _count(len(found.problems) - errors, "warning")
        out.print(", ".join(counts))
    if found.errors or (strict and found.problems):
        raise typer.Exit(2)


def _print_problems(problems: Sequence[Problem]) -> None:
    colours = {"error": "red", "warning": "yellow"}
    for problem in problems:
        colour = colours[problem.severity]
        out.print(f"[{colour}]{problem.severity}:[/] {escape(str(problem))}", soft_wrap=True)


def _print_summary(summary: Summary) -> None:
    parts = []
    if summary.videos:
        length = timedelta(seconds=round(summary.seconds))
        frames = _count(summary.frames, "frame")
        parts.append(f"{_count(summary.videos, 'video')} ({frames}, {length})")
    if summary.images:
        parts.append(_count(summary.images, "image"))
    out.print(", ".join(parts))
    if summary.labels:
        labels = ", ".join(f"{escape(label)} {count}" for label, count in summary.labels.items())
        tracks = f" (in {_count(summary.tracks, 'track')})" if summary.tracks else ""
        out.print(f"Boxes drawn by a person{tracks}: {labels}", soft_wrap=True)
    if summary.frames:
        share = summary.annotated_frames / summary.frames
        out.print(f"Annotated: {summary.annotated_frames} frames of videos ({share:.0%})")
    background = [escape(source.name) for source in summary.sources if source.background]
    if background:
        out.print(
            "Background, annotated without a single box: " + _some(background), soft_wrap=True
        )
    videos = [source for source in summary.sources if source.kind == "video"]
    if any(source.train_frames or source.val_frames for source in videos):
        table = Table("video", box=None, pad_edge=False)
        for title in ("frames", "boxes", "training", "evaluation"):
            table.add_column(title, justify="right")
        for source in videos[:_MOST_ROWS]:
            numbers = (source.frames, source.boxes, source.train_frames, source.val_frames)
            table.add_row(escape(source.name), *map(str, numbers))
        out.print(table)
        if len(videos) > _MOST_ROWS:
            out.print(f"... and {len(videos) - _MOST_ROWS} more videos")


def _print_split(split: SplitSummary, summary: Summary) -> None:
    how = {
        "video": "whole videos are kept for evaluation",
        "time-block": "a stretch of each video is kept for evaluation",
        "image": "images are kept for evaluation",
    }[split.strategy]
    noun = "frame" if not summary.images else "picture" if summary.videos else "image"
    gap = "" if split.gap_seconds is None else f", with a gap of {split.gap_seconds:.1f} s"
    if gap and split.strategy != "time-block":
        gap = f", and a stretch of a video without objects{gap}"
    sides = " and ".join(
        f"{verb} {_count(frames, noun)}" + (f" ({empty} without an object)" if empty else "")
        for verb, frames, empty in (
            ("train on", split.train_frames, split.train_background),
            ("evaluate on", split.val_frames, split.val_background),
        )
    )
    out.print(f"A run would {sides}: {how}{gap}", soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="A dataset's folder, or one annotation file; either in a bucket."
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
    as_json: Json = False,
) -> None:
    """Write annotations in another format: boxes on every frame, or on key frames only.

    [bold]Examples[/]

    kfdet convert videos/ coco/ --to coco

    kfdet convert annotations.xml boxes.parquet --to parquet
    """
    from kfdet.dataset.conversion import convert as convert_annotations
    from kfdet.events import with_aliases
    from kfdet.storage.copies import local_source

    with progress(), local_source(source) as path:
        done = convert_annotations(path, target, to, key_frames=key_frames)
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
        f"{done.boxes} boxes on {done.frames} frames of {done.sources} sources → "
        f"{escape(str(done.target))}",
        soft_wrap=True,
    )
