"""A client for a detector behind TensorFlow Serving's API: image bytes in, detections out.

REST needs no more than the base install; gRPC needs the extra `serve`.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlsplit

import imagesize
import numpy as np
import numpy.typing as npt
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from kfdet.boxes.tables import Boxes
from kfdet.errors import InputError, KfdetError

ATTEMPTS = 5
"""How often a request is sent in all, where the connection fails or a gateway has no server."""

_OUTPUTS = ("detection_boxes", "detection_scores", "detection_class_names", "num_detections")
_UNAVAILABLE = (502, 503, 504)
_BACKOFF_SECONDS = 0.2


class EndpointError(KfdetError):
    """The endpoint does not answer, or not as a detector of kfdet does."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What the model found on one image, best score first.

    Boxes are (N, 4) xmin, ymin, xmax, ymax in pixels of the image as it is stored: a turn in its
    EXIF data is not applied. `model_seconds` is what the server says its model took, None where it
    does not say.
    """

    boxes: Boxes
    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    model_seconds: float | None


class Transport(Protocol):
    """A way to call the model."""

    def predict(self, image: bytes) -> tuple[Mapping[str, Any], str]:
        """Outputs of the one image by name, and the server's Server-Timing ("" if none)."""

    def close(self) -> None:
        """Give the connection back."""


class Endpoint:
    """A served detector; close it, or use it in a `with` block. One thread at a time.

    Args:
        place: What error messages call it.
        transport: How to call the model.
    """

    def __init__(self, place: str, transport: Transport) -> None:
        self._place, self._transport = place, transport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def detect(self, image: bytes) -> Detections:
        """Detections in one JPEG, PNG, GIF, BMP or WebP image.

        Raises:
            InputError: The bytes are no image.
            EndpointError: No connection, no such model, not ready, or not a detector of kfdet.
        """
        width, height = imagesize.get(io.BytesIO(image), exif_rotation=False)
        if width <= 0 or height <= 0:
            raise InputError("these bytes are no JPEG, PNG, GIF, BMP or WebP image.")
        outputs, timing = self._transport.predict(image)
        missing = [name for name in _OUTPUTS if name not in outputs]
        if missing:
            raise EndpointError(
                f"{self._place} answers without {', '.join(missing)}; it has "
                f"{', '.join(sorted(outputs))}. Deploy a model that kfdet exported."
            )
        count = int(outputs["num_detections"])
        y0x0y1x1 = np.asarray(outputs["detection_boxes"], np.float64).reshape(-1, 4)[:count]
        return Detections(
            boxes=y0x0y1x1[:, [1, 0, 3, 2]] * np.array([width, height, width, height]),
            labels=tuple(outputs["detection_class_names"][:count]),
            scores=np.asarray(outputs["detection_scores"], np.float64)[:count],
            model_seconds=_model_seconds(timing),
        )


def connect(url: str, model: str, *, timeout: float = 30.0) -> Endpoint:
    """A client for the model `model` at `url`; it connects with the first image.

    Connections that fail are tried again, ATTEMPTS times in all over some seconds.

    Example:
        >>> with connect("http://localhost:8501", "detector") as endpoint:
        ...     found = endpoint.detect(Path("photo.jpg").read_bytes())  # doctest: +SKIP

    Args:
        url: http://HOST[:PORT], https://HOST[:PORT], or grpc://HOST:PORT.
        model: The model's name; that of an InferenceService is its own.
        timeout: Seconds that one answer may take.

    Raises:
        InputError: Another kind of URL.
    """
    parts = urlsplit(url)
    place = f"{url} (model {model})"
    if parts.scheme in ("http", "https") and parts.hostname:
        return Endpoint(place, _Rest(url.rstrip("/"), model, place, timeout))
    if parts.scheme == "grpc" and parts.port:
        from kfdet.detection.grpc_endpoint import GrpcTransport

        return Endpoint(place, GrpcTransport(parts.netloc, model, place, timeout))
    raise InputError(
        f"{url!r} is no address of an endpoint.",
        hint="Give http://HOST:PORT, https://HOST or grpc://HOST:PORT.",
    )


class _Rest:
    """TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest)."""

    def __init__(self, url: str, model: str, place: str, timeout: float) -> None:
        self._url = f"{url}/v1/models/{quote(model, safe='')}:predict"
        self._place, self._timeout = place, timeout
        self._session = requests.Session()
        retries = Retry(
            ATTEMPTS - 1,
            status_forcelist=_UNAVAILABLE,
            allowed_methods=None,  # POST, too: to detect twice does no harm.
            backoff_factor=_BACKOFF_SECONDS,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries))

    def predict(self, image: bytes) -> tuple[Mapping[str, Any], str]:
        # Written by hand: a JSON encoder would look at every one of these harmless characters.
        body = b'{"instances":[{"b64":"' + base64.b64encode(image) + b'"}]}'
        try:
            response = self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise unreachable(self._place, _reason(error)) from error
        if response.status_code != requests.codes.ok:
            raise refused(self._place, response.status_code, _message(response))
        try:
            (row,) = response.json()["predictions"]
        except (KeyError, TypeError, ValueError) as error:
            raise EndpointError(
                f"{self._place} does not answer as TensorFlow Serving does. "
                "Check the URL: there is another server behind it."
            ) from error
        return row if isinstance(row, dict) else {}, response.headers.get("server-timing", "")

    def close(self) -> None:
        self._session.close()


def unreachable(place: str, reason: str) -> EndpointError:
    """The error for a server that cannot be spoken to."""
    return EndpointError(f"{place} cannot be reached: {reason}. Check the URL, and that it runs.")


def refused(place: str, status: int, reason: str) -> EndpointError:
    """The error for an answer with HTTP status `status`."""
    if status == requests.codes.not_found:
        return EndpointError(f"{place}: there is no such model ({reason}). Check the model's name.")
    if status in _UNAVAILABLE:
        return EndpointError(f"{place} is not ready ({reason}). Wait for it, or look at its pods.")
    return EndpointError(f"{place} answers with an error, {status}: {reason}")


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


def _model_seconds(timing: str) -> float | None:
    found = re.search(r"\bmodel;dur=([0-9.]+)", timing)
    return float(found[1]) / 1000 if found else None
