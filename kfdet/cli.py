"""The command line.

Exit status: 0 done, 1 failed, 2 bad input or wrong usage, 130 interrupted. Every error is one
message on standard error; what a script reads goes to standard output.

What a command needs is imported when it runs, so that `kfdet --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from rich.console import Console
from rich.markup import escape

from kfdet import __version__
from kfdet.errors import KfdetError, Problem
from kfdet.files import explain_os_error
from kfdet.parameters import DEFAULTS, Interpolation, Network, Parameters

app = typer.Typer(
    name="kfdet",
    help="Key frames in, a served detector out: film objects, draw boxes on a few key frames, "
    "and get a trained, evaluated and exported object detector.",
    epilog="Start with: kfdet demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

_FRAMES, _DATA, _TRAINING = "Frames", "Data", "Training"
_Dataset = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        help="Folder with videos/ and/or images/ and annotations/, or with a video beside its "
        "annotation file.",
    ),
]
Format = Literal[
    "parquet",
    "cvat-video",
    "cvat-images",
    "voc",
    "coco",
    "yolo",
    "mot",
    "datumaro",
    "label-studio",
]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def _progress() -> Iterator[None]:
    """Draw the progress of long work in this process while the block runs."""
    from kfdet.events import listening
    from kfdet.run_display import Display

    display = Display(_err)
    with display.live(), listening(display.event):
        yield


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"kfdet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where everything goes.")
    ] = Path("demo"),
    as_json: _Json = False,
) -> None:
    """Make a small sample dataset and run everything on it: two to four minutes.

    Films of moving objects with boxes on key frames appear in FOLDER/dataset, the run in
    FOLDER/run. Look at FOLDER/run/report.html and at the detections drawn on a video that training
    never saw.
    """
    from kfdet.demo import make_sample

    dataset = output / "dataset"
    if not dataset.exists():
        with _progress():
            make_sample(dataset)
    _run(dataset, output / "run", DEMO_PARAMETERS, as_json)


DEMO_PARAMETERS = Parameters()
"""Fit for the sample that `kfdet demo` makes."""


@app.command()
def run(
    dataset: _Dataset,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run.")
    ],
    frame_rate: Annotated[
        float,
        typer.Option(min=0.001, help="At most so many frames a second.", rich_help_panel=_FRAMES),
    ] = DEFAULTS.frame_rate,
    every: Annotated[
        int,
        typer.Option(
            min=0,
            help="Every Nth annotated frame instead of a rate; 0: by the rate.",
            rich_help_panel=_FRAMES,
        ),
    ] = DEFAULTS.every,
    longest_side: Annotated[
        int,
        typer.Option(
            min=0,
            help="Shrink frames to this longest side in pixels; 0: as filmed.",
            rich_help_panel=_FRAMES,
        ),
    ] = DEFAULTS.longest_side,
    jpeg_quality: Annotated[
        int,
        typer.Option(min=1, max=100, help="Quality of stored frames.", rich_help_panel=_FRAMES),
    ] = DEFAULTS.jpeg_quality,
    interpolation: Annotated[
        Interpolation,
        typer.Option(help="How boxes move between key frames.", rich_help_panel=_DATA),
    ] = DEFAULTS.interpolation,
    val_share: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.9, help="Share that only evaluation sees.", rich_help_panel=_DATA
        ),
    ] = DEFAULTS.val_share,
    guard_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            help="Gap between training and evaluation blocks of one video.",
            rich_help_panel=_DATA,
        ),
    ] = DEFAULTS.guard_seconds,
    negative_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of training examples without any object.",
            rich_help_panel=_DATA,
        ),
    ] = DEFAULTS.negative_share,
    network: Annotated[
        Network,
        typer.Option(
            metavar="NAME",
            help=f"One of {', '.join(get_args(Network))}.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.network,
    input_size: Annotated[
        str,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Network input; empty: fitted to the boxes.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.input_size,
    steps: Annotated[
        int,
        typer.Option(
            min=0, help="Training steps; 0: fitted to the dataset.", rich_help_panel=_TRAINING
        ),
    ] = DEFAULTS.steps,
    batch_size: Annotated[
        int,
        typer.Option(
            min=0, help="Images a step; 0: fitted to the machine.", rich_help_panel=_TRAINING
        ),
    ] = DEFAULTS.batch_size,
    learning_rate: Annotated[
        float,
        typer.Option(
            min=0,
            help="Peak learning rate; 0: fitted to network and batch.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.learning_rate,
    init_checkpoint: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL",
            help="Checkpoint to start from; heads that do not fit are left out.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.init_checkpoint,
    overrides: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="File of Model Garden settings on top of everything else.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    early_stop: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stop after so many evaluations without a better AP50; 0: never.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.early_stop,
    min_ap50: Annotated[
        float,
        typer.Option(min=0, max=1, help="AP50 for a good verdict.", rich_help_panel=_TRAINING),
    ] = DEFAULTS.min_ap50,
    min_recall: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of objects to be found; 0: any.", rich_help_panel=_TRAINING
        ),
    ] = DEFAULTS.min_recall,
    max_false_positives: Annotated[
        float,
        typer.Option(
            min=0,
            help="False detections allowed a frame without objects; 0: any.",
            rich_help_panel=_TRAINING,
        ),
    ] = DEFAULTS.max_false_positives,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = DEFAULTS.seed,
    as_json: _Json = False,
) -> None:
    """Train, export and evaluate a detector on this machine.

    The run's folder holds report.html, metrics.json, boxes.parquet, model/ (TensorFlow Serving),
    model.tflite, model.zip, TensorBoard logs, checkpoints and run.json. The same command again
    redoes only what changed, and continues a training that was interrupted.

    [bold]Examples[/]

    kfdet run videos/ -o run

    kfdet run videos/ -o run --frame-rate 5 --network ssd_resnet50_fpn --min-ap50 0.8
    """
    parameters = Parameters(
        frame_rate=frame_rate,
        every=every,
        longest_side=longest_side,
        jpeg_quality=jpeg_quality,
        interpolation=interpolation,
        val_share=val_share,
        guard_seconds=guard_seconds,
        negative_share=negative_share,
        network=network,
        input_size=input_size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        init_checkpoint=init_checkpoint,
        overrides=overrides.read_text() if overrides else "",
        early_stop=early_stop,
        min_ap50=min_ap50,
        min_recall=min_recall,
        max_false_positives=max_false_positives,
        seed=seed,
    )
    _run(dataset, output, parameters, as_json)


def _run(dataset: Path, output: Path, parameters: Parameters, as_json: bool) -> None:
    from kfdet.local_run import run as run_pipeline
    from kfdet.run_summary import print_summary

    parameters.check()
    try:
        record = run_pipeline(dataset, output, parameters, _err)
    except KeyboardInterrupt:
        _err.print("interrupted; the same command continues")
        raise
    metrics: dict[str, Any] = json.loads((output / "metrics.json").read_text())
    if as_json:
        print(json.dumps({"run": str(output), "metrics": metrics, **record}))
    else:
        print_summary(_out, output, record, metrics)


@app.command()
def check(dataset: _Dataset, as_json: _Json = False) -> None:
    """List every problem of a dataset, by file, line and frame; exit status 2 if there is any.

    [bold]Example[/]

    kfdet check videos/ && kfdet run videos/ -o run
    """
    from kfdet.dataset import check as check_dataset

    with _progress():
        problems = check_dataset(dataset)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems]))
    else:
        _print_problems(problems)
    if problems:
        raise typer.Exit(2)


def _print_problems(problems: Sequence[Problem]) -> None:
    colours = {"error": "red", "warning": "yellow"}
    for problem in problems:
        colour = colours[problem.severity]
        _out.print(f"[{colour}]{problem.severity}:[/] {escape(str(problem))}", soft_wrap=True)
    errors = sum(problem.severity == "error" for problem in problems)
    _out.print(f"{errors} errors, {len(problems) - errors} warnings")


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A dataset's folder, or one annotation file.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The file or folder to write.")],
    to: Annotated[
        Format, typer.Option(metavar="FORMAT", help=f"One of {', '.join(get_args(Format))}.")
    ],
    key_frames: Annotated[
        bool, typer.Option("--key-frames", help="Only frames that a person drew on.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Write annotations in another format: boxes on every frame, or on key frames only.

    [bold]Examples[/]

    kfdet convert videos/ coco/ --to coco

    kfdet convert annotations.xml boxes.parquet --to parquet
    """
    from kfdet.convert import convert as convert_annotations

    with _progress():
        done = convert_annotations(source, target, to, key_frames=key_frames)
    if as_json:
        print(
            json.dumps(
                {
                    "target": str(done.target),
                    "sources": done.sources,
                    "frames": done.frames,
                    "boxes": done.boxes,
                    "warnings": [asdict(warning) for warning in done.warnings],
                }
            )
        )
        return
    for warning in done.warnings:
        _err.print(f"[yellow]warning:[/] {escape(str(warning))}", soft_wrap=True)
    _out.print(
        f"{done.boxes} boxes on {done.frames} frames of {done.sources} sources → "
        f"{escape(str(done.target))}",
        soft_wrap=True,
    )


@app.command("compile")
def compile_(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The YAML file to write.")
    ] = Path("pipeline.yaml"),
    image: Annotated[
        str, typer.Option(help="Image of the stages; empty: kfdet's own name for it.")
    ] = "",
    training_image: Annotated[
        str, typer.Option(help="Image of the training stage; empty: kfdet's own name for it.")
    ] = "",
) -> None:
    """Write the pipeline as YAML, to upload in the Kubeflow Pipelines UI.

    [bold]Example[/]

    kfdet compile -o pipeline.yaml --image my-registry/kfdet:1 --training-image my-registry/gpu:1
    """
    from kfdet.pipelines.compiling import compile_training

    compile_training(output, image=image, training_image=training_image)
    _err.print(f"wrote {escape(str(output))}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        app(args=arguments)
    except KfdetError as error:
        message, notes, status = str(error), getattr(error, "__notes__", []), error.exit_status
    except OSError as error:
        if error.filename is None:
            raise
        problem = explain_os_error(error, Path(error.filename))
        message, notes, status = str(problem), [], problem.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    _err.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    for note in notes:
        _err.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
