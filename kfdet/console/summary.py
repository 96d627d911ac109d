"""The last lines of a run: how good the detector is, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_summary(
    console: Console, folder: Path, record: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Print metrics, verdict, times and the paths worth opening.

    Args:
        console: Where to print.
        folder: The run's folder.
        record: What run.json holds.
        metrics: What metrics.json holds.
    """
    print_metrics(console, metrics)
    for name in ("report.html", "detections.mp4", "detections.png", "model", "model.zip"):
        if (folder / name).exists():
            console.print(f"  {escape(str(folder / name))}", soft_wrap=True)
    redone = [stage["stage"] for stage in record["stages"] if stage["cached"] < stage["tasks"]]
    minutes, seconds = divmod(record["seconds"], 60)
    time = f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"
    console.print(f"{time}, {len(redone)} of {len(record['stages'])} stages run")


def print_metrics(console: Console, metrics: dict[str, Any]) -> None:
    """Print what metrics.json holds: the detector's figures and the verdict."""
    table = Table(title=f"{metrics['split']['val_frames']} unseen frames", title_justify="left")
    for heading in ("", "AP50", "AP", "precision", "recall"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"[bold]all[/]": metrics}
    rows |= {escape(label): values for label, values in metrics["per_class"].items()}
    for label, values in rows.items():
        cells = (values[name] for name in ("AP50", "AP", "precision", "recall"))
        table.add_row(label, *("-" if cell is None else f"{cell:.3f}" for cell in cells))
    console.print(table)
    if metrics["verdict"]:
        console.print("[green]verdict: good enough to serve[/]")
    else:
        console.print("[red]verdict: not good enough to serve[/]")
    for reason in metrics["verdict_reasons"]:
        console.print(f"  {escape(reason)}", soft_wrap=True)
