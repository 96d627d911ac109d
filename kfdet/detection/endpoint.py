"""What the clients of TensorFlow Serving's REST and gRPC APIs share: retries and errors."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import imagesize

from kfdet.detection.backend import Answer
from kfdet.errors import InputError, KfdetError
from kfdet.files import explain_os_error

ATTEMPTS = 5
"""How often a request is sent in all, where the connection fails or a gateway has no server."""

IN_FLIGHT = 8
"""Requests that are worth having under way at a time, where nobody asks for another number."""

UNAVAILABLE = (502, 503, 504)
"""HTTP statuses of a gateway without a server that is ready."""

TOKEN_VARIABLE = "KFDET_ENDPOINT_TOKEN"  # noqa: S105
TOKEN_FILE_VARIABLE = "KFDET_ENDPOINT_TOKEN_FILE"  # noqa: S105

_NOT_FOUND = 404
_UNAUTHORIZED = (401, 403)
_MOST_PICTURES, _MOST_BYTES, _MOST_PIXELS = 16, 16 << 20, 48_000_000
"""Of one request: within the limits that `kfdet serve` has by default."""


class EndpointError(KfdetError):
    """The endpoint does not answer, or not as a detector of kfdet does."""


class UnreachableError(EndpointError):
    """There is no connection, or nothing behind a gateway is ready: it may come back."""


def unreachable(place: str, reason: str) -> UnreachableError:
    """The error for a server without a connection."""
    return UnreachableError(
        f"{place} cannot be reached: {reason}. Check the URL, and that it runs."
    )


def refused(place: str, status: int, reason: str) -> EndpointError:
    """The error for an answer with HTTP status `status`."""
    if status == _NOT_FOUND:
        return EndpointError(f"{place}: there is no such model ({reason}). Check the model's name.")
    if status in _UNAUTHORIZED:
        return EndpointError(
            f"{place} does not let this in ({status}): {reason}. Set {TOKEN_VARIABLE} or "
            f"{TOKEN_FILE_VARIABLE} to a valid token, or to the file that holds it."
        )
    if status in UNAVAILABLE:
        return UnreachableError(
            f"{place} is not ready ({reason}). Wait for it, or look at its pods."
        )
    return EndpointError(f"{place} answers with an error, {status}: {reason}")


def authorization() -> dict[str, str]:
    """The header that proves to a gateway who asks; {} without a token.

    From KFDET_ENDPOINT_TOKEN, or from the file that KFDET_ENDPOINT_TOKEN_FILE names. That is read
    for every request: a cluster replaces a mounted token before it expires.

    Raises:
        InputError: The file cannot be read, or holds no token. The message does not show it.
    """
    token, file = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(TOKEN_FILE_VARIABLE, "")
    if not token and not file:
        return {}
    if not token:
        try:
            token = Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise explain_os_error(error, Path(file)) from error
        except UnicodeDecodeError as error:
            raise InputError("holds no token.", file=file) from error
    else:
        file = TOKEN_VARIABLE
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError("holds no token.", file=file)
    return {"authorization": f"Bearer {token}"}


def hide_token(text: str) -> str:
    """A server's own words without the token, which they may repeat."""
    token = authorization().get("authorization", "").removeprefix("Bearer ")
    return text.replace(token, "***") if token else text


def model_seconds(server_timing: str) -> float | None:
    """The model's own time in a Server-Timing header; None if it is not there."""
    found = re.search(r"\bmodel;dur=(\d{1,15}(?:\.\d{1,15})?)(?![\w.])", server_timing)
    return float(found[1]) / 1000 if found else None


def ask(pictures: Sequence[bytes], predict: Callable[[Sequence[bytes]], Answer]) -> Answer:
    """The answer for all pictures, asked for in as many requests as servers with limits need."""
    answers = [predict(portion) for portion in _portions(pictures)]
    seconds = [answer.seconds for answer in answers if answer.seconds is not None]
    return Answer(
        [row for answer in answers for row in answer.rows],
        sum(seconds) if len(seconds) == len(answers) else None,
    )


def _portions(pictures: Sequence[bytes]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    length = pixels = 0
    for data in pictures:
        size = _pixels(data)
        if portion and (
            len(portion) == _MOST_PICTURES
            or length + len(data) > _MOST_BYTES
            or pixels + size > _MOST_PIXELS
        ):
            yield portion
            portion, length, pixels = [], 0, 0
        portion.append(data)
        length, pixels = length + len(data), pixels + size
    yield portion


def _pixels(data: bytes) -> int:
    """Pixels of a picture by its header; 0 where that cannot be read."""
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except (ValueError, struct.error):
        return 0
    return max(0, int(width)) * max(0, int(height))
