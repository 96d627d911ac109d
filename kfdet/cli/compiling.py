"""The pipeline as a file: compile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kfdet.cli.app import app, err


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
    err.print(f"wrote {escape(str(output))}")
