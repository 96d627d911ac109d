"""`kfdet serve`: one SavedModel over REST and gRPC until a signal ends the process."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
from pathlib import Path
from typing import Any

from kfdet.detection.saved_model import find_saved_model
from kfdet.errors import InputError, KfdetError
from kfdet.events import emit
from kfdet.files import os_hint
from kfdet.serving.limits import Limits

GRACE_SECONDS = 20
"""How long running requests may take after the signal; Kubernetes kills after 30 by default."""


def serve(
    folder: Path,
    *,
    model_name: str,
    host: str,
    rest_api_port: int,
    port: int,
    limits: Limits = Limits(),  # noqa: B008 it cannot be changed
) -> None:
    """Serve the highest version in `folder` until SIGTERM, and answer running requests then.

    The server handles the signal while it runs, and raises it again when all is answered; the
    caller handles it before and after. Nothing listens before the model is loaded and warm: a
    connection means readiness. A version that appears later takes a restart.

    Args:
        folder: As for `find_saved_model`.
        model_name: The name in URLs and requests.
        host: Address to listen on.
        rest_api_port: Port of the REST API.
        port: Port of gRPC.
        limits: What one request may ask for.

    Raises:
        InputError: No SavedModel, a port in use.
        KfdetError: The packages for serving are not installed.
    """
    path = find_saved_model(folder.resolve())
    _check_packages()
    if rest_api_port == port:
        raise InputError(f"REST and gRPC cannot both use port {port}.")
    rest_socket = _bind(host, rest_api_port, "--rest-api-port")
    _bind(host, port, "--port").close()

    _load_and_run(path, model_name, host, rest_socket, rest_api_port, port, limits)


def _load_and_run(
    path: Path,
    model_name: str,
    host: str,
    rest_socket: socket.socket,
    rest_api_port: int,
    port: int,
    limits: Limits,
) -> None:
    from kfdet.serving.limited import LimitedModel
    from kfdet.serving.model import load_model

    model = load_model(path, model_name)
    model.warm_up()

    from kfdet.serving import grpc_api, rest_api

    limited = LimitedModel(model, limits)
    rest = rest_api.create_server(limited, rest_api_port)
    try:
        grpc_server = grpc_api.start(limited, _address(host, port))
    except RuntimeError as error:
        raise _in_use(port, "--port", str(error)) from error
    try:
        rest_socket.listen()
    except OSError as error:
        raise _in_use(rest_api_port, "--rest-api-port", error.strerror or str(error)) from error
    emit(
        "serving",
        model=model.name,
        version=model.version,
        rest=f"http://{_address(host, rest_api_port)}/v1/models/{model.name}",
        grpc=_address(host, port),
    )
    _uvicorn_server(rest.config, grpc_server).run(sockets=[rest_socket])


def _uvicorn_server(config: Any, grpc_server: Any) -> Any:
    """A uvicorn server that stops the gRPC server together with itself."""
    import uvicorn

    from kfdet.serving.http_limits import TimedProtocol

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            stopped = grpc_server.stop(GRACE_SECONDS)
            await super().shutdown(sockets)
            await asyncio.to_thread(stopped.wait)

    config.http = TimedProtocol
    config.timeout_graceful_shutdown = GRACE_SECONDS
    return Server(config)


def _check_packages() -> None:
    missing = [
        name
        for name in ("tensorflow", "kserve", "tensorflow_serving")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise KfdetError(
            f"Serving needs the packages {', '.join(missing)}: pip install 'kfdet[serve]'."
        )


def _bind(host: str, port: int, option: str) -> socket.socket:
    """A socket bound to the port: a port in use is found before the model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise InputError(f"--host {host} is not an address: {error.strerror or error}.") from error
    bound = socket.socket(family, kind, protocol)
    # A port that an earlier server left a moment ago is free.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _in_use(port, option, os.strerror(error.errno or 0), os_hint(error)) from error
    return bound


def _in_use(port: int, option: str, reason: str, hint: str = "") -> InputError:
    return InputError(
        f"cannot listen on port {port}: {reason}.", hint=hint or f"Choose another with {option}."
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
