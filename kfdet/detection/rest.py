"""The client of TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest).

It needs the base install only.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import requests
import urllib3
from requests.adapters import HTTPAdapter

from kfdet.detection.answers import MOST_BYTES
from kfdet.detection.backend import Answer
from kfdet.detection.deadline import within
from kfdet.detection.endpoint import (
    ATTEMPTS,
    IN_FLIGHT,
    UNAVAILABLE,
    EndpointError,
    ask,
    authorization,
    hide_token,
    model_seconds,
    refused,
    unreachable,
)
from kfdet.parameters import MAX_IN_FLIGHT

_BACKOFF_SECONDS = 0.2
_AGAIN = (*UNAVAILABLE, requests.codes.too_many_requests)
_CHUNK = 1 << 16
_CLOSE_TO_ZERO = 0.001
_SHOWN = 200
"""Characters of a server's own message that are shown."""


class RestBackend:
    """A served model; connections that fail are tried again, ATTEMPTS times in all.

    Args:
        url: Address of the server, without the model's path.
        model: The model's name.
        timeout: Seconds that the answer to one request may take, with all attempts.
    """

    labels = None
    input_size = None
    thresholds = None
    in_flight = IN_FLIGHT

    def __init__(self, url: str, model: str, timeout: float) -> None:
        self.place = f"{url} (model {model})"
        self._url = f"{url}/v1/models/{quote(model, safe='')}:predict"
        self._timeout = timeout
        self._session = _session()

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for all pictures.

        Raises:
            EndpointError: No connection, no such model, not ready, or another kind of server.
        """
        return ask(pictures, self._predict)

    def _predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for pictures that fit into one request."""
        response, content = self._ask(_request_body(pictures))
        if response.status_code != requests.codes.ok:
            raise refused(self.place, response.status_code, _message(response, content))
        try:
            rows = json.loads(content)["predictions"]
            if not isinstance(rows, list) or len(rows) != len(pictures):
                raise ValueError(f"not a list of {len(pictures)} answers")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._something_else() from error
        return Answer(rows, model_seconds(response.headers.get("server-timing", "")))

    def _ask(self, body: bytes) -> tuple[requests.Response, bytes]:
        """The first answer that is no refusal to try again, or the last, with its content."""
        deadline = time.monotonic() + self._timeout
        for attempt in range(ATTEMPTS):
            headers = {"content-type": "application/json", **authorization()}
            post = partial(self._post, body, headers, deadline)
            failure: Exception | None = None
            try:
                response, content = within(deadline - time.monotonic(), post)
            except (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError) as error:
                self._session.close()
                self._session = _session()  # the other one may still be in use
                raise unreachable(self.place, "no answer in time") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                failure = error
            pause = _BACKOFF_SECONDS * 2**attempt
            last = attempt == ATTEMPTS - 1 or time.monotonic() + pause >= deadline
            if failure is None:
                # A Retry-After is not followed: it may ask for an hour.
                if last or response.status_code not in _AGAIN:
                    return response, content
            elif last or isinstance(failure, ValueError):  # an address that is none
                raise unreachable(self.place, _reason(failure)) from failure
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _post(
        self, body: bytes, headers: dict[str, str], deadline: float
    ) -> tuple[requests.Response, bytes]:
        content = bytearray()
        with self._session.post(
            self._url,
            data=body,
            # Compressed, a few bytes could become an answer of any length.
            headers={**headers, "accept-encoding": "identity"},
            timeout=max(deadline - time.monotonic(), _CLOSE_TO_ZERO),
            allow_redirects=False,
            stream=True,
        ) as response:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise self._something_else()
                if time.monotonic() > deadline:
                    raise TimeoutError
        return response, bytes(content)

    def _something_else(self) -> EndpointError:
        return EndpointError(
            f"{self.place} does not answer as TensorFlow Serving does. "
            "Check the URL: there is another server behind it."
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _session() -> requests.Session:
    """A session with a connection for each request under way."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_IN_FLIGHT))
    return session


def _request_body(pictures: Sequence[bytes]) -> bytes:
    """The JSON of a predict request.

    Written by hand: a JSON encoder would look at every one of these harmless characters.
    """
    rows = b",".join(b'{"b64":"' + base64.b64encode(data) + b'"}' for data in pictures)
    return b'{"instances":[' + rows + b"]}"


def _reason(error: Exception) -> str:
    """The innermost reason; the outer ones hold addresses of objects."""
    inner: BaseException | None = error
    while inner is not None and not (isinstance(inner, OSError) and inner.strerror):
        inner = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return "no answer in time" if isinstance(error, requests.Timeout) else type(error).__name__


def _message(response: requests.Response, content: bytes) -> str:
    try:
        text = str(json.loads(content)["error"])
    except (KeyError, TypeError, ValueError, RecursionError):
        text = content.decode("utf-8", "replace").strip() or str(response.reason)
    return hide_token(text)[:_SHOWN]
