"""The pipelines on a cluster: submit."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from kfdet.cli.app import Command, Json, command, err, out, progress
from kfdet.cli.options import DatasetUris, Experiment, Host, Profile
from kfdet.cluster.parameters import Accelerators, ClusterParameters, ScoringPods
from kfdet.errors import InputError
from kfdet.parameters import Parameters, ScoringSettings, SweepSettings
from kfdet.pipelines.compilation import Compilation

if TYPE_CHECKING:
    from kfdet.kubeflow.backend import Backend

_SCORING = "submit --pipeline scoring"

_Pipeline = Annotated[
    Literal["training", "scoring"],
    typer.Option(
        help="Train a detector, or score a folder, which has other arguments and options: "
        "kfdet submit --pipeline scoring --help."
    ),
]
_NoFollow = Annotated[
    bool, typer.Option("--no-follow", help="Start the run and do not wait for it.")
]


class _ByPipeline(Command):
    """`kfdet submit`, of which each pipeline has its own arguments and options."""

    def make_context(
        self, info_name: Any, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read the arguments of the pipeline that --pipeline names."""
        if "--pipeline=scoring" in args or ("--pipeline", "scoring") in pairwise(args):
            scoring = parent.command.commands[_SCORING].build()
            return scoring.make_context(_SCORING, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@command(kind=_ByPipeline)
def submit(
    dataset: DatasetUris,
    *,
    pipeline: _Pipeline = "training",
    host: Host = "",
    namespace: Profile = "",
    experiment: Experiment = "kfdet",
    follow: Annotated[
        str, typer.Option(metavar="RUN", help="Follow this run instead of starting one.")
    ] = "",
    no_follow: _NoFollow = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Start a run also where an earlier one did the same."),
    ] = False,
    parameters: Parameters,
    sweep: SweepSettings,
    cluster: ClusterParameters,
    compilation: Compilation,
    as_json: Json = False,
) -> None:
    """Run the pipeline on Kubeflow Pipelines, follow it, and print its metrics and its endpoint.

    With --grid it trains several settings side by side, and goes on with the best one. With
    --pipeline scoring it runs a detector over the pictures and videos of a folder instead.

    The pipeline is uploaded unless this version of it is there already. Stages with unchanged
    inputs come from the cluster's cache; where nothing at all has changed since an earlier run, no
    run is started, and the result is that run's. Interrupting this command does not stop the run.

    A token for a full Kubeflow is read from KFDET_KFP_TOKEN, cookies from KFDET_KFP_COOKIES, the
    credentials of the bucket from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    [bold]Examples[/]

    kfdet submit minio://kfdet/datasets/toys --endpoint toys

    kfdet submit minio://kfdet/datasets/toys --accelerator-count 1 --host http://localhost:8888

    kfdet submit minio://kfdet/datasets/toys --grid learning_rate=0.008,0.004 --endpoint toys

    kfdet submit --pipeline scoring minio://kfdet/footage minio://kfdet/scores --model
    minio://kfdet/models/toys.zip

    kfdet submit --follow RUN
    """
    del pipeline  # see _ByPipeline
    from kfdet.dataset.several import join_datasets
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.submission import find_unchanged, prepare, start

    if bool(dataset) == bool(follow):
        raise InputError(
            "give either a dataset or a run to follow.",
            hint="kfdet submit minio://BUCKET/NAME, or kfdet submit --follow RUN.",
        )
    uris = join_datasets(dataset)
    backend = connect_backend(host, namespace)
    unchanged = ""
    if follow:
        backend.run(follow)  # refuses an unknown ID
    else:
        several = sweep if sweep != SweepSettings() else None
        order = prepare(backend, uris, parameters, cluster, compilation, experiment, several)
        unchanged = "" if again else find_unchanged(backend, order)
        if unchanged:
            err.print("nothing has changed since this run; to run it again: --again")
    run_id = follow or unchanged or start(backend, order)
    _report(backend, run_id, as_json, no_follow=no_follow, started=not unchanged)


@command(_SCORING, hidden=True)
def submit_scoring(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Folder with pictures and videos, in a bucket.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Folder of the results, in a bucket.")
    ],
    *,
    pipeline: _Pipeline,
    model: Annotated[
        str,
        typer.Option(
            metavar="URI", help="A model in a bucket: its folder, a .tflite file or a model.zip."
        ),
    ],
    host: Host = "",
    namespace: Profile = "",
    experiment: Experiment = "kfdet",
    no_follow: _NoFollow = False,
    settings: ScoringSettings,
    pods: ScoringPods,
    accelerators: Accelerators,
    compilation: Compilation,
    as_json: Json = False,
) -> None:
    """Score the pictures and videos of a bucket on Kubeflow Pipelines, and follow the run.

    DST gets the same as with `kfdet score`. Files that have a result there already are not scored
    again, so the same command continues a run that was cancelled or failed. Interrupting this
    command does not stop the run; kfdet submit --follow RUN follows it again.

    [bold]Example[/]

    kfdet submit --pipeline scoring minio://kfdet/footage minio://kfdet/scores --model
    minio://kfdet/models/toys.zip --groups 8
    """
    del pipeline  # see _ByPipeline
    from kfdet.kubeflow.backend import connect_backend
    from kfdet.kubeflow.scoring import prepare_scoring
    from kfdet.kubeflow.submission import start

    backend = connect_backend(host, namespace)
    order = prepare_scoring(
        backend, source, target, model, settings, pods, accelerators, compilation, experiment
    )
    _report(backend, start(backend, order), as_json, no_follow=no_follow, started=True)


def _report(
    backend: Backend, run_id: str, as_json: bool, *, no_follow: bool, started: bool
) -> None:
    err.print(f"run {run_id}", soft_wrap=True)
    err.print(f"  {escape(backend.link(run_id))}", soft_wrap=True)
    if not no_follow:
        _follow(backend, run_id, as_json, started=started)
    elif as_json:
        print(json.dumps({"run": run_id, "link": backend.link(run_id)}))


def _follow(backend: Backend, run_id: str, as_json: bool, *, started: bool) -> None:
    from kfdet.console.display import show_events
    from kfdet.console.summary import duration, print_metrics, print_scoring, print_sweep
    from kfdet.kubeflow.following import RunFailedError, follow
    from kfdet.kubeflow.submission import result

    try:
        with show_events(err) as on_event:
            ended = follow(backend, run_id, on_event)
    except RunFailedError:
        raise
    except BaseException:  # an interrupt as well: the run itself goes on
        again = f"kfdet submit --follow {run_id}"
        err.print(f"the run goes on; to follow it again: {again}", soft_wrap=True)
        raise
    with progress():
        found = result(backend, ended)
    if as_json:
        record: dict[str, Any] = {
            "run": run_id,
            "link": backend.link(run_id),
            "started": started,
            "metrics": found.metrics,
            "sweep": found.sweep,
            "scoring": found.scoring,
            "endpoint": found.endpoint,
            "url": found.url,
            "pods": ended.progress.pods if started else 0,
            "seconds": ended.seconds if started else 0.0,
            "stages": [
                {"stage": task.stage, "state": task.state, "seconds": task.seconds}
                for task in ended.progress.tasks
            ],
        }
        print(json.dumps(record))
        return
    if found.sweep:
        print_sweep(out, found.sweep)
    if found.metrics:
        print_metrics(out, found.metrics)
    if found.scoring:
        print_scoring(out, found.scoring)
        for failure in found.scoring["failed"]:
            err.print(f"[yellow]warning:[/] {escape(failure['problem'])}", soft_wrap=True)
    if found.unread:
        message = f"the metrics are on the run's page; from here: {escape(found.unread)}"
        err.print(message, soft_wrap=True)
    if found.endpoint:
        out.print(f"  endpoint {escape(found.endpoint)} {escape(found.url)}", soft_wrap=True)
    if started:
        out.print(f"{duration(ended.seconds)}, {ended.progress.pods} pods")
