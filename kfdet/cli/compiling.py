"""The pipeline as a file: compile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kfdet.cli.app import command, err
from kfdet.cluster.parameters import BUCKET
from kfdet.errors import InputError
from kfdet.pipelines.compilation import Compilation, PipelineName


@command("compile")
def compile_(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The YAML file to write.")
    ] = Path("pipeline.yaml"),
    bucket: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Bucket for everything that a run stores, unless a parameter names another one.",
        ),
    ] = BUCKET,
    pipeline: Annotated[
        PipelineName,
        typer.Option(
            help="The training of one detector, a sweep over several settings, or the scoring of a "
            "folder."
        ),
    ] = "training",
    *,
    compilation: Compilation,
) -> None:
    """Write the pipeline as YAML, to upload in the Kubeflow Pipelines UI.

    [bold]Examples[/]

    kfdet compile -o pipeline.yaml --image my-registry/kfdet:1 --training-image my-registry/gpu:1

    kfdet compile -o sweep.yaml --pipeline sweep

    kfdet compile -o scoring.yaml --pipeline scoring
    """
    from kfdet.pipelines.compiler import compile_pipeline

    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise InputError(
            f"{bucket!r} is not the name of a bucket.", hint="Write it without minio://."
        )
    compile_pipeline(output, compilation, bucket, pipeline)
    err.print(f"wrote {escape(str(output))}")
