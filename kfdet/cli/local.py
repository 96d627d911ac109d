"""The pipeline on this machine: demo, run, sweep."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kfdet.cli.app import Datasets, Json, Replace, RunFolder, command, err, out, progress
from kfdet.parameters import DEFAULTS, NO_START, Parameters, SweepSettings


@command()
def demo(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the sample and the run."),
    ] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Make a small sample dataset and run everything on it: two to four minutes.

    Videos of moving objects with boxes on key frames appear in FOLDER/dataset, the run in
    FOLDER/run. Look at FOLDER/run/report.html and at the detections drawn on a video that training
    never saw.

    [bold]Example[/]

    kfdet demo
    """
    from kfdet.demo.sample import make_sample

    dataset = output / "dataset"
    if not dataset.exists():
        with progress():
            make_sample(dataset)
    # the same everywhere and in no need of a network
    parameters = replace(DEFAULTS, pretrained=NO_START)
    _run([str(dataset)], output / "run", parameters, as_json)


@command()
def run(
    dataset: Datasets,
    output: RunFolder,
    parameters: Parameters,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Train, export and evaluate a detector on this machine.

    The run's folder holds report.html, metrics.json, boxes.parquet, model/ (TensorFlow Serving),
    model.tflite, model.zip, TensorBoard logs, checkpoints and run.json. The same command again
    redoes only what changed, and continues a training that was interrupted.

    [bold]Examples[/]

    kfdet run videos/ -o run

    kfdet run minio://kfdet/datasets/toys -o run

    kfdet run kitchen/ garage/ -o run --test "garage*"

    kfdet run videos/ -o run --frame-rate 5 --network ssd_resnet50_fpn --min-ap50 0.8
    """
    _run(dataset, output, parameters, as_json, replace)


@command()
def sweep(
    dataset: Datasets,
    output: RunFolder,
    sweep: SweepSettings,
    parameters: Parameters,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Train several settings on this machine, and keep the best one.

    Frames and records are made once, the settings are trained one after another, and the one with
    the highest AP50 on the validation side is exported and evaluated. Name the values that you use
    today first: they are kept where the lead of others may be chance. The run's folder is that of
    `kfdet run`, with sweep.html and sweep.json: AP50, speed, size and training time of each
    setting. The same command again continues with the settings that are not trained yet.

    A range is drawn from evenly, that of a learning rate evenly on a logarithmic scale.

    [bold]Examples[/]

    kfdet sweep videos/ -o sweep --grid learning_rate=0.008,0.004 --grid input_size=256x320,384x512

    kfdet sweep videos/ -o sweep --grid learning_rate=0.001..0.02 --grid steps=300,600 --random 6
    """
    _run(dataset, output, parameters, as_json, replace, sweep)


def _run(
    datasets: list[str],
    output: Path,
    parameters: Parameters,
    as_json: bool,
    replace: bool = False,
    sweep: SweepSettings | None = None,
) -> None:
    from kfdet.console.display import show_events
    from kfdet.console.summary import print_summary
    from kfdet.dataset.several import join_datasets
    from kfdet.local.runner import run as run_pipeline
    from kfdet.storage.address import refuse_credentials

    parameters.check()
    refuse_credentials(*datasets)
    err.print(f"{' + '.join(datasets)} → {output}", markup=False, soft_wrap=True)
    started = time.monotonic()
    try:
        with show_events(err) as on_event:
            done = run_pipeline(
                join_datasets(datasets),
                output,
                parameters,
                on_event,
                replace=replace,
                sweep=sweep,
            )
    except KeyboardInterrupt:
        err.print("interrupted; the same command continues")
        raise
    if as_json:
        print(json.dumps({"run": str(output), "metrics": done.metrics, **done.record}))
    else:
        print_summary(out, output, done, time.monotonic() - started)
