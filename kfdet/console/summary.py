"""The last lines of a run: how good the detector is, where the results are, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kfdet.local.results import Run
from kfdet.planning.summary import count

_RESULTS = {
    "report.html": "report",
    "sweep.html": "comparison of the settings",
    "detections.mp4": "video with detections",
    "detections.png": "pictures with detections",
    "model": "model",
}


def print_summary(console: Console, folder: Path, run: Run, seconds: float) -> None:
    """Print metrics, verdict, results and the next steps.

    Args:
        console: Where to print.
        folder: The run's folder, as the user wrote it.
        run: The run.
        seconds: How long the command took.
    """
    if run.record.get("sweep") and run.sweep:
        print_sweep(console, run.sweep)
    print_metrics(console, run.metrics)
    console.print()
    for name, title in _RESULTS.items():
        path = run.folder / name
        if path.exists():
            link = Text(str(folder / name), style=f"link {path.as_uri()}")
            console.print(Text(f"{title}: ").append_text(link), soft_wrap=True)
    console.print()
    console.print("Use the detector in Python, or over HTTP and gRPC:")
    python = f"kfdet.Detector.load({str(folder / 'model')!r}).detect('photo.jpg')"
    for command in (f"import kfdet; {python}", f"kfdet serve {shlex.quote(str(folder))}"):
        console.print(f"  {command}", soft_wrap=True, markup=False)
    console.print()
    console.print(f"{duration(seconds)}, {_computed(run)}")


def print_scoring(console: Console, summary: Mapping[str, Any]) -> None:
    """Print what a scoring found.

    Args:
        console: Where to print.
        summary: Content of summary.json.
    """
    new = "" if summary["scored"] == summary["files"] else f", {summary['scored']} of them now"
    console.print(
        f"{count(summary['detections'], 'detection')} on {count(summary['frames'], 'frame')} of "
        f"{count(summary['files'], 'file')}{new} → {escape(summary['target'])}",
        soft_wrap=True,
    )


def _computed(run: Run) -> str:
    stages = len(run.record["stages"])
    if not run.computed:
        return "nothing has changed since the last run"
    if len(run.computed) == stages:
        return f"{stages} stages computed"
    return f"{len(run.computed)} of {stages} stages computed, the others have not changed"


def duration(seconds: float) -> str:
    """A time span as a person reads it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def print_sweep(console: Console, sweep: dict[str, Any]) -> None:
    """Print what sweep.json holds: the settings, and why one is chosen."""
    names = list(sweep["chosen"])
    title = "the settings, the chosen one first; AP50 on the validation side"
    table = Table(title=title, title_justify="left")
    for heading in ("", *names, "AP50", "AP", "ms", "MB", "minutes"):
        table.add_column(heading, justify="right")
    for number, trial in enumerate(sweep["trials"], start=1):
        table.add_row(
            str(number),
            *(escape(_short(trial["settings"][name])) for name in names),
            *(f"{trial[name]:.3f}" for name in ("AP50", "AP")),
            *(f"{trial[name]:.1f}" for name in ("ms_per_image", "megabytes", "minutes")),
        )
    console.print(table)
    if sweep.get("reason"):
        console.print(sweep["reason"], highlight=False)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_metrics(console: Console, metrics: dict[str, Any]) -> None:
    """Print what metrics.json holds: the detector's figures and the verdict."""
    split = metrics["split"]
    unit = "images" if split["strategy"] == "image" else "frames"
    truth, which = metrics["truth"], " that training never saw"
    title = (
        f"measured on {truth['boxes']} boxes drawn by a person, on {truth['frames']} {unit}"
        f"{'' if split['strategy'] == 'whole' else which}"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("", "AP50", "AP", "precision", "recall"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"[bold]all[/]": metrics}
    rows |= {escape(label): values for label, values in metrics["per_class"].items()}
    for label, values in rows.items():
        cells = (values[name] for name in ("AP50", "AP", "precision", "recall"))
        table.add_row(label, *("-" if cell is None else f"{cell:.3f}" for cell in cells))
    console.print(table)
    if truth["AP50_interval"]:
        low, high = truth["AP50_interval"]
        console.print(f"AP50 is between {low:.3f} and {high:.3f} with a probability of 95%")
    if len(metrics.get("per_video", {})) > 1:
        _print_videos(console, metrics["per_video"])
    if metrics["verdict"]:
        # Another stretch of the same videos was measured, not another place.
        place = " in this place" if split["strategy"] == "time-block" else ""
        console.print(f"[green]verdict: good enough to serve{place}[/]")
    else:
        console.print("[red]verdict: not good enough to serve[/]")
    for reason in metrics["verdict_reasons"]:
        console.print(f"  {escape(reason)}", soft_wrap=True)


def _print_videos(console: Console, videos: dict[str, dict[str, Any]]) -> None:
    table = Table(title="by video", title_justify="left")
    for heading in ("", "AP50", "frames", "boxes", "missed", "false"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, values in videos.items():
        ap50 = "-" if values["AP50"] is None else f"{values['AP50']:.3f}"
        counts = (values[key] for key in ("frames", "boxes", "missed", "false_positives"))
        table.add_row(escape(name), ap50, *map(str, counts))
    console.print(table)
