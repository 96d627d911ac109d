"""The client of TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest).

It needs the base install only.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from kfdet.detection.backend import Answer
from kfdet.detection.endpoint import (
    ATTEMPTS,
    UNAVAILABLE,
    EndpointError,
    ask,
    authorization,
    model_seconds,
    refused,
    unreachable,
)

_BACKOFF_SECONDS = 0.2


class RestBackend:
    """A served model; connections that fail are tried again, ATTEMPTS times in all.

    Args:
        url: Address of the server, without the model's path.
        model: The model's name.
        timeout: Seconds that one answer may take.
    """

    labels = None
    input_size = None
    thresholds = None

    def __init__(self, url: str, model: str, timeout: float) -> None:
        self.place = f"{url} (model {model})"
        self._url = f"{url}/v1/models/{quote(model, safe='')}:predict"
        self._timeout = timeout
        self._session = requests.Session()
        retries = Retry(
            ATTEMPTS - 1,
            status_forcelist=(*UNAVAILABLE, requests.codes.too_many_requests),
            respect_retry_after_header=False,  # a server may ask for an hour
            allowed_methods=None,  # POST, too: detecting twice does no harm.
            backoff_factor=_BACKOFF_SECONDS,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries))

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for all pictures.

        Raises:
            EndpointError: No connection, no such model, not ready, or another kind of server.
        """
        return ask(pictures, self._predict)

    def _predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for pictures that fit into one request."""
        try:
            response = self._session.post(
                self._url,
                data=_request_body(pictures),
                headers={"content-type": "application/json", **authorization()},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise unreachable(self.place, _reason(error)) from error
        if response.status_code != requests.codes.ok:
            raise refused(self.place, response.status_code, _message(response))
        try:
            rows = response.json()["predictions"]
            if len(rows) != len(pictures):
                raise ValueError(f"{len(rows)} answers to {len(pictures)} pictures")
        except (KeyError, TypeError, ValueError) as error:
            raise EndpointError(
                f"{self.place} does not answer as TensorFlow Serving does. "
                "Check the URL: there is another server behind it."
            ) from error
        return Answer(
            [row if isinstance(row, dict) else {} for row in rows],
            model_seconds(response.headers.get("server-timing", "")),
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


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


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (KeyError, TypeError, ValueError):
        return response.text.strip()[:200] or response.reason
