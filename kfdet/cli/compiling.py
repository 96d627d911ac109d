"""The pipeline as a file: compile."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kfdet.cli.app import app, err
from kfdet.cli.options import with_parameters
from kfdet.kubeflow.parameters import Compilation


@app.command("compile")
@with_parameters
def compile_(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The YAML file to write.")
    ] = Path("pipeline.yaml"),
    *,
    compilation: Compilation,
) -> None:
    """Write the pipeline as YAML, to upload in the Kubeflow Pipelines UI.

    [bold]Example[/]

    kfdet compile -o pipeline.yaml --image my-registry/kfdet:1 --training-image my-registry/gpu:1
    """
    from kfdet.pipelines.compiling import compile_training

    compilation.check()
    compile_training(output, **asdict(compilation))
    err.print(f"wrote {escape(str(output))}")
