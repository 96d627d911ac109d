"""Many pictures and videos at once: score."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from kfdet.cli.app import Json, command, err, out, progress
from kfdet.parameters import ScoringSettings


@command()
def score(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="Folder with pictures and videos, here or in a bucket."),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Folder of the results, here or in a bucket.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A run, a model's folder, .tflite or .zip file, here or in a bucket.",
        ),
    ],
    settings: ScoringSettings,
    as_json: Json = False,
) -> None:
    """Detect on every picture and video of a folder or bucket, without an endpoint.

    DST gets detections.parquet (one row per detection), frames.parquet (one row per frame),
    summary.json, index.html with pictures, and in files/ the result of each file. The same command
    again scores only what is new or has changed, and continues a scoring that was interrupted.

    A file that cannot be read is named at the end, with exit status 2; all others are scored.

    [bold]Examples[/]

    kfdet score photos/ scores/ --model run

    kfdet score minio://kfdet/footage minio://kfdet/scores --model minio://kfdet/models/toys.zip
    """
    from kfdet.console.summary import print_scoring
    from kfdet.scoring.run import score as score_folder
    from kfdet.storage.address import refuse_credentials

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    refuse_credentials(source, target)
    err.print(f"{source} → {target}", markup=False, soft_wrap=True)
    try:
        with progress():
            done = score_folder(source, target, model, settings)
    except KeyboardInterrupt:
        err.print("interrupted; the same command continues")
        raise
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        print_scoring(out, asdict(done))
    if settings.keep_going:
        for failure in done.failed:
            err.print(f"[yellow]warning:[/] {escape(failure.problem)}", soft_wrap=True)
    else:
        done.check()
