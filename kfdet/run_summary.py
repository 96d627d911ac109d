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
    table = Table(title=f"{metrics['split']['val_frames']} unseen frames", title_justify="left")
    for heading in ("", "AP50", "AP", "precision", "recall"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("[bold]all[/]", f"[bold]{metrics['AP50']:.3f}[/]", f"{metrics['AP']:.3f}")
    for label, values in metrics["per_class"].items():
        names = ("AP50", "AP", "precision", "recall")
        cells = ("-" if values[n] is None else f"{values[n]:.3f}" for n in names)
        table.add_row(escape(label), *cells)
    console.print(table)
    if record["verdict"]:
        console.print("[green]verdict: good enough to serve[/]")
    else:
        console.print("[red]verdict: not good enough to serve[/]")
        for reason in metrics["verdict"].get("reasons", []):
            console.print(f"[red]  {escape(reason)}[/]", soft_wrap=True)
    for name in ("report.html", "detections.mp4", "detections.png", "model", "model.zip"):
        if (folder / name).exists():
            console.print(f"  {escape(str(folder / name))}", soft_wrap=True)
    redone = [stage["stage"] for stage in record["stages"] if stage["cached"] < stage["tasks"]]
    minutes, seconds = divmod(record["seconds"], 60)
    time = f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"
    console.print(f"{time}, {len(redone)} of {len(record['stages'])} stages run")
