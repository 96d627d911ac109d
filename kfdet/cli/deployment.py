"""Endpoints on a cluster: deploy, endpoints, rollback."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from kfdet.cli.app import Json, command, err, out, progress
from kfdet.cluster.parameters import SERVING_DEFAULTS, ServingSettings
from kfdet.console.printable import SafeConsole
from kfdet.parameters import Promotion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kfdet.cluster.api import Cluster
    from kfdet.deployment.endpoint import Endpoint
    from kfdet.deployment.smoke_test import LabelledPicture

_WIDE = 400
_HEADINGS = "NAME VERSION AP50 GAIN REFUSED READY CANARY PREVIOUS AGE URL"

_Namespace = Annotated[
    str,
    typer.Option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="Namespace; default: that of your kubeconfig's context, else kubeflow.",
    ),
]
_Timeout = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="Time for a version to become ready.")
]
_Force = Annotated[
    bool, typer.Option("--force", help="Overwrite what somebody else has changed in the endpoint.")
]


@command()
def deploy(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run's folder, or a folder with 1/saved_model.pb in it."
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the endpoint (the InferenceService).")
    ],
    *,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Picture to try the model with; default: the run's own validation pictures.",
        ),
    ] = None,
    canary_percent: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            min=0,
            max=99,
            help="Percentage of the requests that the new version gets beside the current one; "
            "0: all.",
        ),
    ] = 0,
    model_root: Annotated[
        str, typer.Option(metavar="URI", help="Bucket path that keeps every deployed version.")
    ] = "minio://kfdet/models",
    model_registry: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Address of the Kubeflow Model Registry that lists what is served."
        ),
    ] = "",
    promote: Annotated[
        Promotion,
        typer.Option(
            metavar="RULE",
            help="Required result of the comparison with what the endpoint serves, on the run's "
            "own evaluation frames: not-worse or better; always: none.",
        ),
    ] = "always",
    serving: ServingSettings,
    timeout: _Timeout = 600.0,
    force: _Force = False,
    namespace: _Namespace = "",
    as_json: Json = False,
) -> None:
    """Serve a model on the cluster under a name, with KServe and TensorFlow Serving.

    The model is copied to the bucket (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY),
    started beside the endpoint and asked for detections; only then does the endpoint switch to
    it, without an interruption. If anything goes wrong, the endpoint keeps serving what it served
    before.

    [bold]Examples[/]

    kfdet deploy run --name toys

    kfdet deploy run/model --name toys --image photo.jpg -n kubeflow-user-example-com

    kfdet deploy run --name toys --canary-percent 10 --replicas 2-6
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.deploy import deploy as deploy_model
    from kfdet.deployment.deploy import read_figures
    from kfdet.deployment.registry import find_registry
    from kfdet.deployment.rollout import Options
    from kfdet.events import timestamp
    from kfdet.local.results import run_of

    cluster = connect(namespace)
    run = run_of(model)
    comparison = _compare(cluster, name, model, run, promote) if promote != "always" else {}
    metrics = run / "metrics.json" if run else None
    bundle = run / "model.zip" if run else None
    with progress():
        served = deploy_model(
            cluster,
            run / "model" if run else model,
            name,
            model_root=model_root,
            metrics=read_figures(metrics) if metrics and metrics.is_file() else {},
            pictures=_pictures(model, run, image),
            options=Options(canary_percent, force, timeout, serving),
            bundle=bundle if bundle and bundle.is_file() else None,
            comparison=comparison,
            started=timestamp(),
            **_provenance(run),
            registry=find_registry(model_registry, inside=cluster.inside),
        )
    _show(served, as_json)


@command()
def endpoints(namespace: _Namespace = "", as_json: Json = False) -> None:
    """List the endpoints: version, AP50, gain, refusal, whether ready, canary share, URL and age.

    The gain is that in AP50 over the version that served before, where they were compared. The
    refusal is the last version that was not promoted over this one, and its gain.

    `kubectl get isvc` shows the same InferenceServices.

    [bold]Example[/]

    kfdet endpoints -n kubeflow-user-example-com
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.inference_service import read

    cluster = connect(namespace)
    found = [read(manifest) for manifest in cluster.endpoints()]
    if as_json:
        print(json.dumps([_as_dict(endpoint) for endpoint in found]))
        return
    if not found:
        err.print(f"no endpoints in namespace {escape(cluster.namespace)}")
        return
    table = Table(box=None, pad_edge=False)
    for heading in _HEADINGS.split():
        table.add_column(heading)
    for endpoint in found:
        serving, canary = endpoint.serving, endpoint.serving.canary
        refused = endpoint.refused
        table.add_row(
            endpoint.name,
            serving.stable.version,
            f"{serving.stable.metrics['AP50']:.3f}" if "AP50" in serving.stable.metrics else "-",
            _gain(serving.stable.promotion),
            f"{refused.version} {_gain(refused.comparison)}" if refused else "-",
            "yes" if endpoint.ready else "no",
            f"{canary.percent}% {canary.release.version}" if canary else "-",
            serving.previous.version if serving.previous else "-",
            _age(endpoint.created),
            escape(endpoint.url) or "-",
        )
    SafeConsole(width=_WIDE).print(table)  # half an address is of no use


@command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The endpoint.")],
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Picture to try the previous version with; default: a plain one."
        ),
    ] = None,
    timeout: _Timeout = 600.0,
    force: _Force = False,
    namespace: _Namespace = "",
    as_json: Json = False,
) -> None:
    """Serve the previous version again, or end a canary; repeated, it undoes itself.

    The previous version is tried beside the endpoint before it gets requests.

    [bold]Example[/]

    kfdet rollback toys
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.rollout import Options, roll_back
    from kfdet.deployment.smoke_test import picture_of, plain_picture, smoke_test

    cluster = connect(namespace)
    pictures = [picture_of(image) if image else plain_picture()]
    test = functools.partial(smoke_test, cluster, pictures)
    with progress():
        served = roll_back(cluster, name, Options(force=force, timeout=timeout), test)
    _show(served, as_json)


@command()
def promote(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The endpoint.")],
    percent: Annotated[
        list[int],
        typer.Option(
            metavar="NUMBER",
            min=1,
            max=100,
            default_factory=lambda: [100],
            show_default="100",
            help="Percentage of the requests that the canary gets; 100: all. Repeat it for steps.",
        ),
    ],
    watch: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="Watch the canary's requests for so long before each step; 0: do not watch.",
        ),
    ] = 0.0,
    max_errors: Annotated[
        float,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="End it if more of its requests fail."
        ),
    ] = 1.0,
    max_latency: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="End it if its answers take longer on average; 0: no limit.",
        ),
    ] = 0.0,
    timeout: _Timeout = 600.0,
    force: _Force = False,
    namespace: _Namespace = "",
    as_json: Json = False,
) -> None:
    """Give the canary of an endpoint a larger share of the requests, in the end all.

    With --watch it stays in the foreground: it reads what the canary's pods count
    (/monitoring/prometheus/metrics), moves on while they keep to the limits, and ends the canary
    with exit status 1 when they do not. Without any request, nothing is moved.

    [bold]Examples[/]

    kfdet promote toys

    kfdet promote toys --percent 25 --percent 50 --percent 100 --watch 10 --max-latency 0.5
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.rollout import Options, share_out
    from kfdet.deployment.watching import Limits, promote_in_steps

    cluster = connect(namespace)
    shares, options = sorted(set(percent)), Options(force=force, timeout=timeout)
    limits = Limits(max_errors, max_latency)
    with progress():
        if watch:
            served = promote_in_steps(cluster, name, shares, watch * 60, limits, options)
        else:
            served = share_out(cluster, name, shares[-1], options)
    _show(served, as_json)


@command()
def scale(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The endpoint.")],
    *,
    serving: ServingSettings,
    timeout: _Timeout = 600.0,
    force: _Force = False,
    namespace: _Namespace = "",
    as_json: Json = False,
) -> None:
    """Give an endpoint other replicas or resources; what it serves stays.

    What somebody else has set by hand stays, too, unless you use --force.

    [bold]Examples[/]

    kfdet scale toys --replicas 2-6 --scale-target 70

    kfdet scale toys --serving-memory 8Gi
    """
    from kfdet.cluster.connection import connect
    from kfdet.deployment.rollout import Options, rescale
    from kfdet.errors import InputError

    if serving == SERVING_DEFAULTS:
        raise InputError(
            "there is nothing to change.", hint="Give --replicas or another option of --help."
        )
    with progress():
        served = rescale(
            connect(namespace), name, Options(force=force, timeout=timeout, serving=serving)
        )
    _show(served, as_json)


def _provenance(run: Path | None) -> dict[str, str]:
    """The run of a model and the version of its dataset, as far as its record says."""
    from kfdet.local.record import read_record

    record = read_record(run) if run else None
    if run is None or record is None:
        return {}
    return {"run": run.resolve().name, "dataset": record["dataset"].get("version", "")}


def _compare(
    cluster: Cluster, name: str, model: Path, run: Path | None, promote: Promotion
) -> Mapping[str, Any]:
    """How a run's model compares with what the endpoint serves.

    Raises:
        InputError: The model is not a run's, so that there is nothing to measure on.
        KfdetError: It may not take the other one's place.
    """
    from kfdet.deployment.gate import may_replace, note_refusal
    from kfdet.errors import InputError, KfdetError
    from kfdet.local.results import own_records

    if run is None:
        raise InputError(
            f"--promote {promote} needs the folder of a run: its evaluation frames.", file=model
        )
    records = own_records(run)
    with progress():
        decision = may_replace(cluster, name, run / "model", records, promote)
    err.print(escape(decision.reason), soft_wrap=True)
    if not decision.good:
        with progress():
            note_refusal(cluster, name, run / "model", decision)
        raise KfdetError(f"{name} stays as it is.")
    return decision.comparison


def _gain(promotion: Mapping[str, Any]) -> str:
    """How much better than the previous version it was measured to be."""
    if promotion.get("difference") is None:
        return "-"
    text = f"{promotion['difference']:+.3f}"
    interval = promotion.get("interval")
    return f"{text} ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else text


def _pictures(model: Path, run: Path | None, image: Path | None) -> list[LabelledPicture]:
    """Pictures to try the model with."""
    from kfdet.deployment.smoke_test import picture_of, validation_pictures
    from kfdet.errors import InputError
    from kfdet.local.results import own_records
    from kfdet.storage.shards import open_records

    if image:
        return [picture_of(image)]
    if run is None:
        raise InputError(
            "there is no picture to try the model with.",
            file=model,
            hint="Give one with --image, or the folder of a run.",
        )
    with open_records(own_records(run)) as records:
        return validation_pictures(records)


def _show(endpoint: Endpoint, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_dict(endpoint)))
        return
    serving = endpoint.serving
    text = f"{escape(endpoint.name)} serves version {serving.stable.version}"
    if serving.canary:
        text += f", and {serving.canary.release.version} to {serving.canary.percent}%"
    out.print(f"{text}: {escape(endpoint.url)}", soft_wrap=True)


def _as_dict(endpoint: Endpoint) -> dict[str, Any]:
    serving, canary = endpoint.serving, endpoint.serving.canary
    return {
        "name": endpoint.name,
        "namespace": endpoint.namespace,
        "version": serving.stable.version,
        "metrics": dict(serving.stable.metrics),
        "run": serving.stable.run or None,
        "dataset": serving.stable.dataset or None,
        "runtime": serving.stable.runtime,
        "replicas": endpoint.capacity.least_pods,
        "promotion": dict(serving.stable.promotion) or None,
        "refused": asdict(endpoint.refused) if endpoint.refused else None,
        "thresholds": asdict(serving.stable.thresholds) if serving.stable.thresholds else None,
        "ready": endpoint.ready,
        "url": endpoint.url,
        "address": endpoint.address,
        "created": endpoint.created,
        "storage_uri": serving.stable.storage_uri,
        "previous": serving.previous.version if serving.previous else None,
        "canary": {"version": canary.release.version, "percent": canary.percent}
        if canary
        else None,
    }


def _age(created: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
