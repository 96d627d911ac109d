"""Runs on a cluster: runs, download, prune."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from kfdet.cli.app import Json, command, err, out, progress
from kfdet.cli.options import Host, Profile
from kfdet.console.printable import SafeConsole

if TYPE_CHECKING:
    from kfdet.kubeflow.runs import RunSummary
    from kfdet.local.results import Run

_WIDE = 400


@command()
def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="List the local runs in and directly below this folder instead."
        ),
    ] = None,
    *,
    last: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="How many to list.")] = 10,
    host: Host = "",
    namespace: Profile = "",
    as_json: Json = False,
) -> None:
    """List the newest runs on Kubeflow Pipelines: state, AP50, verdict, and who serves the model.

    [bold]Examples[/]

    kfdet runs --last 20

    kfdet runs .
    """
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.runs import summarize_runs
    from kfdet.local.results import find_runs

    if folder:
        found = [_summarize(each) for each in find_runs(folder)[:last]]
    else:
        found = summarize_runs(connect_backend(host, namespace), last)
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    if not found:
        err.print("no runs")
        return
    headings = ("RUN", "NAME", "STATE", "DATASET", "AP50", "VERDICT", "MINUTES", "ENDPOINT")
    table = Table(*headings, box=None, pad_edge=False)
    for each in found:
        table.add_row(
            escape(each.id),
            escape(each.name),
            each.state,
            escape(each.dataset),
            "-" if each.ap50 is None else f"{each.ap50:.3f}",
            "-" if each.verdict is None else "good" if each.verdict else "bad",
            "-" if each.minutes is None else f"{each.minutes:.1f}",
            escape(each.endpoint) or "-",
        )
    SafeConsole(width=_WIDE).print(table)


def _summarize(run: Run) -> RunSummary:
    """A local run as those on a cluster are listed."""
    from kfdet.kubeflow.runs import RunSummary

    stages = run.record["stages"]
    return RunSummary(
        id=str(run.folder),
        name=run.folder.resolve().name,
        state="succeeded",
        created="",
        minutes=round(sum(stage["seconds"] for stage in stages) / 60, 1),
        dataset=str(run.record["dataset"]["path"]),
        ap50=run.metrics.get("AP50"),
        verdict=run.verdict,
        endpoint="",
    )


@command()
def download(
    run: Annotated[str, typer.Argument(metavar="RUN", help="ID of a run, as `kfdet runs` lists.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to fill; default: run-RUN."),
    ] = None,
    host: Host = "",
    namespace: Profile = "",
) -> None:
    """Copy the model, its zip, the metrics and the report of a run on a cluster to this machine.

    A download that was interrupted continues with the same command.

    [bold]Example[/]

    kfdet download 3f6c1a52-7f0e-4d1a-9f62-0c8b5a1d2e11 -o toys
    """
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.runs import download_results

    folder = output or Path(f"run-{run}")
    backend = connect_backend(host, namespace)
    with progress():
        download_results(backend, run, folder)
    out.print(escape(str(folder)), soft_wrap=True)


@command()
def prune(
    *,
    keep: Annotated[
        int,
        typer.Option(
            min=1, metavar="NUMBER", help="How many successful runs of each dataset to keep."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
    host: Host = "",
    namespace: Profile = "",
    as_json: Json = False,
) -> None:
    """Delete old runs on a cluster, and what only they need in the bucket.

    Artifacts, deployed versions, checkpoints and TensorBoard logs go. What an endpoint serves or
    can be rolled back to stays, and so does what newer runs have taken from the cache, what a run
    or a schedule names, and every run on a dataset on which a run still goes on. Your kubeconfig
    has to lead to the cluster with the endpoints.

    [bold]Examples[/]

    kfdet prune --keep 5

    kfdet prune --keep 5 --yes
    """
    from kfdet.cluster.connection import connect
    from kfdet.cluster.names import NAMESPACE
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.pruning import find_old_runs
    from kfdet.kubeflow.pruning import prune as prune_run
    from kfdet.storage.removal import size_of

    backend = connect_backend(host, namespace)
    old = find_old_runs(backend, connect, backend.namespace or NAMESPACE, keep)
    sizes = [sum(size_of(place) for place in each.places) for each in old]
    if not as_json:
        for each, size in zip(old, sizes, strict=True):
            out.print(f"{each.id}  {escape(each.name)}  {decimal(size)}", soft_wrap=True)
    if yes:
        for each in old:
            prune_run(backend, each)
    if as_json:
        found = [
            {"run": each.id, "name": each.name, "bytes": size, "places": each.places}
            for each, size in zip(old, sizes, strict=True)
        ]
        print(json.dumps({"deleted": yes, "runs": found}))
        return
    done = "deleted" if yes else "to delete them: --yes"
    err.print(f"{len(old)} runs, {decimal(sum(sizes))}" + (f"; {done}" if old else ""))
