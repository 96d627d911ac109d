"""Measure a model: evaluate."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kfdet.cli.app import Json, command, err, out, progress
from kfdet.cli.options import EndpointNamespace
from kfdet.parameters import DatasetSettings, Gate, SamplingSettings


@command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run, a model's folder, .tflite or .zip file, here or in a bucket; the address "
            "of an endpoint, or endpoint:NAME; or a COCO results file (.json) of any other "
            "detector.",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Folder, zip or bucket URI; default: what the run MODEL was measured on.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Write report.html and metrics.json there."
        ),
    ] = None,
    *,
    namespace: EndpointNamespace = "",
    choice: DatasetSettings,
    sampling: SamplingSettings,
    gate: Gate,
    as_json: Json = False,
) -> None:
    """Measure a model, or another detector's detections, on a dataset, with the report of a run.

    The dataset's test side is measured where it has one (its own, or --test), else its validation
    side, else all of it. --against measures a second model on the same frames and compares.

    [bold]Examples[/]

    kfdet evaluate run garage/ -o report

    kfdet evaluate run garage/ --against older-run

    kfdet evaluate detections.json garage/
    """
    from kfdet.console.summary import print_metrics
    from kfdet.deployment.lookup import find_address
    from kfdet.detection.detector import check_address
    from kfdet.local.evaluation import EvaluationSettings, check_output
    from kfdet.local.evaluation import evaluate as evaluate_model
    from kfdet.storage.address import is_bucket_uri, refuse_credentials

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    check_output(output)
    refuse_credentials(dataset)
    subject = find_address(model, namespace)
    gate = replace(gate, against=find_address(gate.against, namespace))
    for address in (subject, gate.against):
        # a name in a bucket may have an @
        (refuse_credentials if is_bucket_uri(address) else check_address)(address)
    err.print(f"{model} on {dataset or 'its own records'}", markup=False, soft_wrap=True)
    with progress():
        metrics = evaluate_model(
            subject,
            dataset,
            output,
            EvaluationSettings(choice, sampling, gate),
            command=shlex.join(["kfdet", *sys.argv[1:]]),
        )
    if as_json:
        print(json.dumps(metrics))
        return
    print_metrics(out, metrics)
    if output:
        out.print(f"report: {output / 'report.html'}", markup=False, soft_wrap=True)
