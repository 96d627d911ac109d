"""What the clients of TensorFlow Serving's REST and gRPC APIs share: retries and errors."""

from __future__ import annotations

import re

from kfdet.errors import KfdetError

ATTEMPTS = 5
"""How often a request is sent in all, where the connection fails or a gateway has no server."""

UNAVAILABLE = (502, 503, 504)
"""HTTP statuses of a gateway without a server that is ready."""

_NOT_FOUND = 404


class EndpointError(KfdetError):
    """The endpoint does not answer, or not as a detector of kfdet does."""


def unreachable(place: str, reason: str) -> EndpointError:
    """The error for a server without a connection."""
    return EndpointError(f"{place} cannot be reached: {reason}. Check the URL, and that it runs.")


def refused(place: str, status: int, reason: str) -> EndpointError:
    """The error for an answer with HTTP status `status`."""
    if status == _NOT_FOUND:
        return EndpointError(f"{place}: there is no such model ({reason}). Check the model's name.")
    if status in UNAVAILABLE:
        return EndpointError(f"{place} is not ready ({reason}). Wait for it, or look at its pods.")
    return EndpointError(f"{place} answers with an error, {status}: {reason}")


def model_seconds(server_timing: str) -> float | None:
    """The model's own time in a Server-Timing header; None if it is not there."""
    found = re.search(r"\bmodel;dur=([0-9.]+)", server_timing)
    return float(found[1]) / 1000 if found else None
