"""The speed of an endpoint: load."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from kfdet import __version__
from kfdet.cli.app import Json, command, err, out, progress
from kfdet.cli.options import EndpointNamespace
from kfdet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kfdet.evaluation.load import Advice, Level

_SIZE = (640, 480)


@command()
def load(
    endpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="ENDPOINT",
            help="http://HOST:PORT or grpc://HOST:PORT, each with /v1/models/NAME where the model "
            "is not called detector; or endpoint:NAME, found in your cluster.",
        ),
    ],
    pictures: Annotated[
        list[Path] | None,
        typer.Option("--picture", metavar="FILE", help="Send this picture. Repeat it for several."),
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, max=1024, metavar="NUMBER", help="Most requests in flight.")
    ] = 32,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Time for each number in flight."),
    ] = 5.0,
    rate: Annotated[
        float,
        typer.Option(
            min=0,
            max=1_000_000,
            metavar="NUMBER",
            help="Requests a second that you expect, to suggest pods.",
        ),
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write a page with charts there."),
    ] = None,
    namespace: EndpointNamespace = "",
    as_json: Json = False,
) -> None:
    """Measure how many requests a second an endpoint answers, and how fast.

    1, 2, 4, ... and up to --most requests are in flight at a time, each with one picture. Several
    endpoints are measured one after another, such as the REST and the gRPC port of one.

    [bold]Examples[/]

    kfdet load http://localhost:8501 grpc://localhost:8500 -o load.html

    kfdet load endpoint:toys --rate 40
    """
    from kfdet.deployment.lookup import find_address
    from kfdet.detection import Detector
    from kfdet.detection.pictures import encode
    from kfdet.evaluation.load import LEVELS, advise, measure_load

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    addresses = [find_address(endpoint, namespace) for endpoint in endpoints]
    for address in addresses:
        if "://" not in address:
            raise InputError(
                "is not the address of an endpoint.",
                file=address,
                hint="Write http://HOST:PORT, grpc://HOST:PORT or endpoint:NAME; `kfdet endpoints` "
                "lists those of your cluster.",
            )
    sent = [encode(path).data for path in pictures or ()] or [_picture()]
    in_flight = sorted({*(level for level in LEVELS if level < most), most})
    with progress():
        measured = {
            address: measure_load(
                functools.partial(Detector.load, address, threshold=0.0),
                sent,
                seconds=seconds,
                levels=in_flight,
            )
            for address in addresses
        }
    advice = {address: advise(found, rate) for address, found in measured.items()}
    if output:
        _write_page(output, measured, advice)
    if as_json:
        found = {
            address: {
                "levels": [asdict(level) for level in levels],
                "advice": asdict(advice[address]),
            }
            for address, levels in measured.items()
        }
        print(json.dumps(found))
        return
    for address, levels in measured.items():
        _print(address, levels, advice[address], rate)
    if output:
        err.print(f"wrote {escape(str(output))}", soft_wrap=True)


def _print(address: str, levels: Sequence[Level], advice: Advice, rate: float) -> None:
    out.print(escape(address), soft_wrap=True)
    headings = ("IN FLIGHT", "REQUESTS", "PER SECOND", "P50 MS", "P95 MS", "P99 MS")
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right")
    for level in levels:
        times = (f"{each:.0f}" for each in (level.p50_ms, level.p95_ms, level.p99_ms))
        table.add_row(str(level.in_flight), str(level.requests), f"{level.per_second:.1f}", *times)
    out.print(table)
    out.print(
        f"  {advice.per_second:.1f} requests a second with {advice.in_flight} in flight, 95 % of "
        f"them within {advice.p95_ms:.0f} ms; with more in flight, they mostly wait.",
        soft_wrap=True,
    )
    if rate:
        out.print(
            f"  For {rate:g} requests a second: {advice.replicas} times as many pods as now "
            "(kfdet scale NAME --replicas ...), with a reserve of 30 %.",
            soft_wrap=True,
        )


def _write_page(output: Path, measured: dict[str, list[Level]], advice: dict[str, Advice]) -> None:
    from kfdet.evaluation.report.load import render_load
    from kfdet.evaluation.report.page import Origin
    from kfdet.files import atomic_file

    origin = Origin("", "", datetime.now(UTC), __version__)
    with atomic_file(output) as path:
        path.write_text(render_load(measured, advice, origin), encoding="utf-8")


def _picture() -> bytes:
    """A JPEG as from a camera: smooth, with some noise."""
    import numpy as np
    import simplejpeg

    width, height = _SIZE
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=2)
    noisy = smooth + np.random.default_rng(0).normal(0, 6, smooth.shape)
    pixels = np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8))
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=90)
    return jpeg
