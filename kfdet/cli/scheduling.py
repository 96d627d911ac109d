"""Runs at set times on a cluster: schedule, schedules."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from kfdet.cli.app import Json, command, err
from kfdet.cli.options import DatasetUris, Experiment, Host, Profile
from kfdet.cluster.parameters import ClusterParameters
from kfdet.console.printable import SafeConsole
from kfdet.errors import InputError
from kfdet.parameters import Parameters, SweepSettings
from kfdet.pipelines.compilation import Compilation

_WIDE = 400


@command()
def schedule(
    dataset: DatasetUris,
    *,
    cron: Annotated[
        str,
        typer.Option(
            metavar="TIMES",
            help="When: minute, hour, day of the month, month and day of the week, in the time "
            "zone of Kubeflow Pipelines (usually UTC).",
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the schedule; empty: the dataset's.")
    ] = "",
    host: Host = "",
    namespace: Profile = "",
    experiment: Experiment = "kfdet",
    parameters: Parameters,
    sweep: SweepSettings,
    cluster: ClusterParameters,
    compilation: Compilation,
    as_json: Json = False,
) -> None:
    """Run the pipeline at set times: it trains again when the dataset has changed.

    Each run takes everything from the cluster's cache if nothing has changed since the last one,
    and one that would start while another still runs is left out. All options of a training with
    `kfdet submit` can be given.

    [bold]Example[/]

    kfdet schedule minio://kfdet/datasets/toys --cron "0 3 * * *" --endpoint toys
    """
    from kfdet.dataset.several import join_datasets
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.cron import six_fields
    from kfdet.kubeflow.schedules import check_name, create_schedule
    from kfdet.kubeflow.submission import dataset_name, prepare

    if not dataset:
        raise InputError(
            "there is no dataset.", hint="kfdet schedule minio://BUCKET/NAME --cron ..."
        )
    times = six_fields(cron)
    uris = join_datasets(dataset)
    name = name or dataset_name(uris)
    backend = connect_backend(host, namespace)
    check_name(backend, name)
    several = sweep if sweep != SweepSettings() else None
    order = prepare(backend, uris, parameters, cluster, compilation, experiment, several)
    created = create_schedule(backend, order, times, name)
    if as_json:
        print(json.dumps({"id": created, "name": name, "cron": times}))
        return
    err.print(f"schedule {escape(name)}: {escape(cron)}", soft_wrap=True)


@command()
def schedules(
    *,
    pause: Annotated[
        str, typer.Option(metavar="NAME", help="Start no runs of this schedule at present.")
    ] = "",
    resume: Annotated[
        str, typer.Option(metavar="NAME", help="Start runs of a paused schedule again.")
    ] = "",
    remove: Annotated[
        str, typer.Option(metavar="NAME", help="Remove this schedule; its runs stay.")
    ] = "",
    host: Host = "",
    namespace: Profile = "",
    as_json: Json = False,
) -> None:
    """List the schedules on Kubeflow Pipelines; pause, resume or remove one of them.

    [bold]Example[/]

    kfdet schedules --pause toys
    """
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.schedules import find_schedule, schedules

    backend = connect_backend(host, namespace)
    if pause:
        backend.enable_recurring_run(find_schedule(backend, pause).id, enabled=False)
    if resume:
        backend.enable_recurring_run(find_schedule(backend, resume).id, enabled=True)
    if remove:
        backend.delete_recurring_run(find_schedule(backend, remove).id)
    found = schedules(backend)
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    if not found:
        err.print("no schedules")
        return
    table = Table("NAME", "CRON", "STATE", "DATASET", "ENDPOINT", box=None, pad_edge=False)
    for each in found:
        table.add_row(
            escape(each.name),
            escape(each.cron.removeprefix("0 ")),
            "paused" if each.paused else "active",
            escape(str(each.arguments.get("dataset", ""))),
            escape(str(each.arguments.get("endpoint", ""))) or "-",
        )
    SafeConsole(width=_WIDE).print(table)
