"""The metadata store that Kubeflow Pipelines still needs, as a program on the host."""

import socket

from api import apply, host_service
from build import METADATA_PYTHON
from layout import ADDRESS, HERE, METADATA_PORT, STATE
from processes import say, start, wait


def up() -> None:
    """Start the metadata server and give it the service that driver and launcher look for."""
    say("metadata store: ml-metadata")
    listen = f"{ADDRESS}:{METADATA_PORT}"
    database = STATE / "metadata.db"
    start("metadata", [METADATA_PYTHON, HERE / "metadata_server.py", listen, database])
    wait("the metadata store", _answers, log="metadata")
    apply(*host_service("metadata-grpc-service", METADATA_PORT))


def _answers() -> bool:
    with socket.create_connection((ADDRESS, METADATA_PORT), timeout=1):
        return True
