"""Use a detector: detect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.markup import escape
from rich.table import Table

from kfdet.cli.app import Json, command, err, out, progress
from kfdet.cli.options import EndpointNamespace
from kfdet.events import warn
from kfdet.parameters import ENDPOINT_START, DetectionFormat, StreamSettings

if TYPE_CHECKING:
    from kfdet.detection import Detector
    from kfdet.detection.counting import ObjectCounter
    from kfdet.detection.run import Step
    from kfdet.detection.sinks.targets import Target
    from kfdet.detection.stream import Meter, Sink


@command()
def detect(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A picture, a video, a folder of them, a glob pattern, the number of a camera, "
            "the URL of a stream (rtsp://, HLS, MJPEG), or minio://BUCKET/NAME.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A run, a model's folder, .tflite or .zip file, here or in a bucket; the address "
            "of an endpoint (http://, grpc://); or endpoint:NAME, found in your cluster.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Folder for the results, or the one file to write; -: standard output.",
        ),
    ] = "",
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help="What to write, may be repeated: drawn (pictures and videos with boxes), "
            f"{', '.join(get_args(DetectionFormat)[1:])}. Default: as the suffix of PATH says, "
            "else drawn.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show",
            help="Show the frames as they come, in a window or on a page of this machine; default "
            "for cameras and streams.",
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0,
            max=1,
            help="Leave out detections with a lower score; default: what the model's evaluation "
            "recommends.",
            show_default=False,
        ),
    ] = None,
    track: Annotated[
        bool,
        typer.Option(
            "--track",
            help="Follow objects from frame to frame: number them, and count each once.",
        ),
    ] = False,
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X1,Y1,X2,Y2",
            help="Count objects that cross this line, in pixels of the source; may be repeated. "
            "Those that come to its right, seen from the first point, enter; the others leave.",
            show_default=False,
        ),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X1,Y1,X2,Y2,X3,Y3...",
            help="Count objects that enter or leave this polygon; may be repeated.",
            show_default=False,
        ),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going", help="Exit with status 0 although some files could not be read."
        ),
    ] = False,
    *,
    namespace: EndpointNamespace = "",
    settings: StreamSettings,
    as_json: Json = False,
) -> None:
    """Detect objects on pictures, videos and cameras; draw them, or write them as data.

    Every frame of a file is detected on. A camera or stream goes on until Ctrl-C; frames that come
    while the model is busy are dropped and counted. What was done is kept whenever it ends.

    A file that is no picture or video is named and left out; the exit status is then 2.

    [bold]Examples[/]

    kfdet detect garage.mp4 --model run

    kfdet detect photos/ --model run --to jsonl -o found.jsonl

    kfdet detect rtsp://camera.local/1 --model http://localhost:8501 -o garage.mp4

    kfdet detect street.mp4 --model run --line 0,300,640,300

    kfdet detect street.mp4 --model run --to cvat-video -o street.xml
    """
    # Read when the libraries are imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")

    from kfdet.detection.counting import Counting, Line, Zone
    from kfdet.detection.run import run
    from kfdet.detection.sinks.targets import choose_targets, needs_tracks, open_sinks
    from kfdet.detection.sources import find_sources
    from kfdet.detection.tracking import Tracker

    settings.check()
    borders: list[Line | Zone] = [*map(Line.parse, line or ()), *map(Zone.parse, zone or ())]
    with ExitStack() as stack:
        found = find_sources([stack.enter_context(_local(source)) for source in sources])
        live = any(source.kind == "live" for source in found)
        show = show or (live and not output and not to)
        targets: list[Target] = []
        if output or to or not show:
            targets = choose_targets(output, cast("list[DetectionFormat]", to or []), found)
        sinks = open_sinks(targets, found)
        counting = None
        steps: list[Step] = []
        if track or borders or any(needs_tracks(target.format) for target in targets):
            counting = Counting(borders)
            steps = [Tracker(), counting]
        detector = _load(model, namespace, threshold, stack)
        if show:
            sinks.append(_viewer())
        stream = detector.open_stream(found, settings, lambda error: warn(str(error)))
        try:
            with progress():
                run(stream, sinks, steps=steps)
        finally:
            if stream.meter.shown or stream.meter.failed:
                counts = counting.sources if counting else {}
                _report(stream.meter, targets, counts, as_json)
    if stream.meter.failed and not keep_going:
        raise typer.Exit(2)


@contextmanager
def _local(source: str) -> Iterator[str]:
    """The source itself, or a temporary copy of what is in a bucket."""
    from kfdet.storage.address import is_bucket_uri
    from kfdet.storage.copies import local_source

    if not is_bucket_uri(source):
        yield source
        return
    with progress(), local_source(source) as path:
        yield str(path)


def _viewer() -> Sink:
    from kfdet.detection.sinks.viewers import PageSink, open_viewer

    viewer = open_viewer()
    if isinstance(viewer, PageSink):
        err.print(f"live view: {viewer.url}", soft_wrap=True)
    return viewer


def _load(model: str, namespace: str, threshold: float | None, stack: ExitStack) -> Detector:
    """The detector, with a threshold."""
    from kfdet.detection import Detector
    from kfdet.storage.copies import local_model

    if model.startswith(ENDPOINT_START):
        from kfdet.deployment.lookup import open_client

        detector = open_client(model.removeprefix(ENDPOINT_START), namespace, "", threshold)
    else:
        detector = Detector.load(stack.enter_context(local_model(model)), threshold=threshold)
    with progress():
        return stack.enter_context(detector).with_some_threshold()


def _report(
    meter: Meter, targets: list[Target], counters: Mapping[str, ObjectCounter], as_json: bool
) -> None:
    """What was done, on standard output; on standard error where that holds the detections."""
    from kfdet.planning.summary import count

    to_file = all(target.path for target in targets)
    if as_json and to_file:
        print(json.dumps(_summary(meter, targets, counters)))
        return
    console = out if to_file else err
    counts = ", ".join(f"{number} {label}" for label, number in meter.labels.most_common())
    live = f", {meter.dropped} dropped" if meter.dropped else ""
    if meter.shown:
        console.print(
            f"{count(meter.shown, 'frame')}{live} in {meter.seconds:.1f} s "
            f"({meter.rate:.1f} frames/s, latency {1000 * meter.latency(0.5):.0f} ms, of 95% at "
            f"most {1000 * meter.latency(0.95):.0f} ms)",
            soft_wrap=True,
        )
        total = count(meter.labels.total(), "detection") + (f": {counts}" if counts else "")
        console.print(total, markup=False, soft_wrap=True)
    for source, counter in counters.items():
        if counter.objects:
            console.print(source, markup=False, highlight=False, soft_wrap=True)
            console.print(_count_table(counter))
    if meter.failed:
        console.print(f"[yellow]{len(meter.failed)} left out, named above[/]")
    for target in targets:
        if target.path and target.path.exists():
            console.print(f"{target.format} → {target.path}", markup=False, soft_wrap=True)


def _count_table(counter: ObjectCounter) -> Table:
    """One row for each label."""
    table = Table()
    table.add_column("label")
    table.add_column("objects", justify="right")
    for crossings in counter.crossings:
        place = ",".join(f"{value:g}" for point in crossings.border.points for value in point)
        for what in ("entered", "left"):
            table.add_column(f"{place} {what}", justify="right", overflow="fold")
    for label, objects in counter.objects.most_common():
        crossed = [
            counts[label] for each in counter.crossings for counts in (each.entered, each.left)
        ]
        table.add_row(escape(label), *map(str, (objects, *crossed)))
    return table


def _summary(
    meter: Meter, targets: list[Target], counters: Mapping[str, ObjectCounter]
) -> dict[str, Any]:
    return {
        "received": meter.received,
        "frames": meter.shown,
        "dropped": meter.dropped,
        "seconds": round(meter.seconds, 3),
        "frames_per_second": round(meter.rate, 3),
        "latency_ms": {
            "p50": round(1000 * meter.latency(0.5), 1),
            "p95": round(1000 * meter.latency(0.95), 1),
        },
        "detections": meter.labels.total(),
        "labels": dict(meter.labels.most_common()),
        **(
            {"counts": {name: each.to_dict() for name, each in counters.items()}}
            if counters
            else {}
        ),
        "failed": [{"file": error.file, "problem": error.problem} for error in meter.failed],
        "outputs": [
            {"format": target.format, "path": str(target.path)}
            for target in targets
            if target.path and target.path.exists()
        ],
    }
