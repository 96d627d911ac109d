"""A detector as a service: serve."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kfdet.cli.app import command
from kfdet.console.printable import printable
from kfdet.serving.limits import Limits
from kfdet.signals import exit_on_sigterm

_LIMITS = Limits()


@command()
def serve(
    model_dir: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A run's folder, or the folder of an exported model: numbered versions with a "
            "saved_model.pb each, or one of them.",
        ),
    ],
    model_name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model in URLs.")
    ] = "detector",
    rest_api_port: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=65535, help="Port of the REST API.")
    ] = 8501,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=65535, help="Port of the gRPC API.")
    ] = 8500,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; 0.0.0.0: let other machines send requests.",
        ),
    ] = "127.0.0.1",
    max_request_mib: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            min=1,
            max=2047,
            help="Largest body of a request in MiB; over REST, base64 takes a third more than the "
            "picture.",
        ),
    ] = _LIMITS.request_mib,
    max_batch: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Most pictures in one request.")
    ] = _LIMITS.batch,
    max_megapixels: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", min=1, help="Most megapixels of all pictures of one request together."
        ),
    ] = _LIMITS.megapixels,
    max_waiting: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            min=1,
            help="Most requests that wait for their turn; others are refused, to be sent again "
            "later.",
        ),
    ] = _LIMITS.waiting,
) -> None:
    """Serve an exported model with TensorFlow Serving's REST and gRPC API until it is stopped.

    The highest version in the folder is served; a version that is added later needs a restart. On
    SIGTERM, running requests are answered before the process ends. Needs the extra "serve".

    [bold]Examples[/]

    kfdet serve run

    curl localhost:8501/v1/models/detector

    (printf '{"instances":[{"b64":"'; base64 -w0 photo.jpg; printf '"}]}') |
    curl -d @- localhost:8501/v1/models/detector:predict
    """
    # what TensorFlow finds of the machine at its start; what fails later is raised
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kfdet.events import listening
    from kfdet.serving.server import serve as serve_model

    with listening(_announce), exit_on_sigterm(status=0):
        serve_model(
            model_dir,
            model_name=model_name,
            host=host,
            rest_api_port=rest_api_port,
            port=port,
            limits=Limits(max_request_mib, max_batch, max_megapixels, max_waiting),
        )


def _announce(event: dict[str, Any]) -> None:
    """Print a server's addresses as soon as it answers, and its warnings."""
    shown = ("model", "version", "rest", "grpc", "message")
    text = " ".join(f"{name}={event[name]}" for name in shown if name in event)
    print(printable(f"{event['event']}: {text}"), file=sys.stderr, flush=True)
