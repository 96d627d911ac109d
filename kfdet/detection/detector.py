"""`Detector`: one way to run a model, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np

from kfdet.detection.answers import read_row
from kfdet.detection.backend import Backend
from kfdet.detection.detections import DRAWN_SCORE, Detections
from kfdet.detection.endpoint import TOKEN_VARIABLE, EndpointError
from kfdet.detection.pictures import Encoded, encode
from kfdet.detection.pictures import Source as Picture
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError
from kfdet.events import warn
from kfdet.parameters import StreamSettings, join_list, split_list

if TYPE_CHECKING:
    from kfdet.detection.frame import Source
    from kfdet.detection.stream import FrameDetections, Stream

MODEL_NAME = "detector"
"""The name that `kfdet serve` gives to a model."""

_BATCH = 4
"""Frames of files that a model in this process gets at a time: less work for each of them."""


class Detector:
    """A trained detector: in this process, or behind an endpoint. One thread at a time.

    Close it, or use it in a `with` block.

    Example:
        >>> with kfdet.Detector.load("run") as detector:
        ...     found = detector.detect("photo.jpg")
        >>> found.draw().save("drawn.jpg")

    Args:
        backend: How to run the model.
        threshold: As for `load`.
    """

    def __init__(
        self, backend: Backend, threshold: float | Mapping[str, float] | None = None
    ) -> None:
        self._backend = backend
        self._closed = False
        if threshold is None and backend.thresholds:
            threshold = backend.thresholds.overall
        self._threshold = threshold

    @classmethod
    def load(
        cls,
        model: str | PathLike[str],
        *,
        threshold: float | Mapping[str, float] | None = None,
        name: str = MODEL_NAME,
        timeout: float = 30.0,
    ) -> Self:
        """The detector at `model`; an endpoint is connected to with the first picture.

        Example:
            >>> with Detector.load("http://localhost:8501") as detector:  # doctest: +SKIP
            ...     found = detector.detect("photo.jpg")

        Args:
            model: The folder of a run, an exported model's folder (with numbered versions, or one
                of them), a .tflite file, or the address of an endpoint: http://HOST[:PORT],
                https://HOST[:PORT] (TensorFlow Serving's REST API) or grpc://HOST:PORT. An address
                may end in /v1/models/NAME.
            threshold: Leave out detections with a lower score; a mapping has one for each label,
                and 0 for those that it leaves out. None: the one that evaluation recommends, which
                comes with the model (`thresholds`). Nothing is left out where that is not known:
                behind an endpoint, and before a model is measured.
            name: The model's name at an endpoint; the name of an InferenceService is its model's.
            timeout: Seconds that an endpoint's answer to one request (at most 16 pictures) may
                take, whatever it does: connections that fail are tried again within them.

        Raises:
            InputError: There is no model, or the address has another form.
            KfdetError: A package that this kind of model needs is not installed.
        """
        if "://" in str(model):
            return cls(_connect(str(model), name, timeout), threshold)
        path = Path(model)
        if path.suffix == ".tflite":
            from kfdet.detection.tflite import TFLiteBackend

            return cls(TFLiteBackend(path), threshold)
        from kfdet.detection.saved_model import SavedModelBackend

        return cls(SavedModelBackend(path), threshold)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._backend.place}>"

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Label names, class id 1 first; None for an endpoint."""
        return self._backend.labels

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the network's input in pixels; None if unknown."""
        return self._backend.input_size

    @property
    def thresholds(self) -> Thresholds | None:
        """What evaluation recommends, over all labels and for each; None if unknown."""
        return self._backend.thresholds

    def with_some_threshold(self) -> Self:
        """Leave out what is not worth drawing where no threshold is known, and warn of it.

        Returns:
            The detector itself.
        """
        if self._threshold is None:
            self._threshold = DRAWN_SCORE
            warn(
                f"{self._backend.place} comes without a threshold: {DRAWN_SCORE:g} is used. Choose "
                "one with --threshold."
            )
        return self

    def detect(self, picture: Picture) -> Detections:
        """The objects on one picture that score at least the detector's threshold.

        Args:
            picture: A file, the bytes of an encoded picture, or a uint8 array (height, width, 3)
                in RGB, which is not changed. EXIF's orientation is applied, as in training.

        Raises:
            InputError: It is not a picture.
            EndpointError: No connection, no such model, not ready, or not a detector of kfdet.
            ValueError: The detector is closed.
        """
        (found,) = self.detect_batch([picture])
        return found

    def detect_batch(self, pictures: Iterable[Picture]) -> list[Detections]:
        """The objects on several pictures, which go through the model together.

        The same arguments and errors as `detect`; sizes may differ.
        """
        if self._closed:
            raise ValueError("the detector is closed.")
        if isinstance(pictures, str | bytes | PathLike):
            raise InputError("this is one picture, not several.", hint="Use detect() for one.")
        encoded = [encode(picture) for picture in pictures]
        if not encoded:
            return []
        answer = self._backend.predict([picture.data for picture in encoded])
        if len(answer.rows) != len(encoded):
            raise EndpointError(
                f"{self._backend.place} gives {len(answer.rows)} answers to {len(encoded)} "
                "pictures. Use a model that kfdet exported."
            )
        seconds = None if answer.seconds is None else answer.seconds / len(encoded)
        return [
            self._detections(row, picture, seconds)
            for row, picture in zip(answer.rows, encoded, strict=True)
        ]

    def stream(
        self,
        source: str | PathLike[str] | int | Sequence[str | PathLike[str] | int],
        *,
        track: bool = False,
        **settings: Any,
    ) -> Iterator[FrameDetections]:
        """The objects on the frames of videos, cameras and other sources, one frame at a time.

        Reading, detection and the caller's own work go on side by side. No frame of a file is lost;
        of a live source, frames that come while the detector is busy are dropped.

        Example:
            >>> with kfdet.Detector.load("run") as detector:
            ...     for found in detector.stream("videos/20.mp4", every=30):
            ...         print(found.frame, found.seconds, found.width, found.height)
            0 0.0 160 120
            30 3.0 160 120

        Args:
            source: A picture, a video, a folder, a glob pattern, a camera's number, the URL of a
                stream, or several of them.
            track: Follow objects from frame to frame: `Detections.tracks` has their numbers.
            settings: Fields of `kfdet.parameters.StreamSettings`, by name: `every`, `start`,
                `stop`, `longest_side`, `max_in_flight`, `labels` and `min_box_area`.

        Raises:
            InputError: There is no such source, or it is no picture or video.
            EndpointError: As for `detect`.
        """
        from kfdet.detection.sources import find_sources

        texts = map(str, [source] if isinstance(source, str | PathLike | int) else source)
        if isinstance(labels := settings.get("labels", ""), list | tuple):
            settings["labels"] = join_list(labels)
        follow: Callable[[FrameDetections], FrameDetections] | None = None
        if track:
            from kfdet.detection.tracking import Tracker

            follow = Tracker()
        stream = self.open_stream(find_sources(texts), StreamSettings(**settings))
        with stream:
            for frame, found in stream:
                stream.meter.show(frame, found)
                yield follow(found) if follow else found

    def open_stream(
        self,
        sources: Sequence[Source],
        settings: StreamSettings,
        on_failure: Callable[[InputError], None] | None = None,
    ) -> Stream:
        """The detections on `sources` as a stream with a meter: what `stream` iterates over.

        Raises:
            InputError: A setting has a wrong value, or the detector does not know a label.
        """
        from kfdet.detection.stream import Stream

        settings.check()
        unknown = set(split_list(settings.labels)) - set(self.labels or split_list(settings.labels))
        if unknown:
            raise InputError(
                f"the model does not know the label {min(unknown)!r}.",
                hint=f"Its labels: {', '.join(self.labels or ())}.",
            )
        here = self._backend.in_flight == 1
        if here and any(source.kind == "live" for source in sources):
            # A model's first answer takes seconds, which no live frame should wait for.
            self.detect(np.zeros((64, 64, 3), np.uint8))
        return Stream(
            sources,
            self.detect_batch,
            settings,
            in_flight=1 if here else settings.max_in_flight or self._backend.in_flight,
            batch=_BATCH if here else 1,
            on_failure=on_failure,
        )

    def close(self) -> None:
        """Release connections and memory."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _detections(
        self, row: Mapping[str, Any], picture: Encoded, seconds: float | None
    ) -> Detections:
        shares, labels, scores = read_row(row, self._backend.place)
        found = Detections(
            boxes=shares[:, [1, 0, 3, 2]] * np.tile(picture.size, 2),
            labels=labels,
            scores=scores,
            size=picture.size,
            model_seconds=seconds,
            picture=picture.original,
            vocabulary=self.labels or (),
        )
        return found if self._threshold is None else found.above(self._threshold)


def read_labels(model: str | PathLike[str]) -> tuple[str, ...] | None:
    """Label names of a model, which is not loaded; None for an endpoint.

    Args:
        model: As for `Detector.load`.

    Raises:
        InputError: There is no model.
    """
    from kfdet.detection.saved_model import find_saved_model, labels_of
    from kfdet.detection.tflite import read_attached

    if "://" in str(model):
        return None
    path = Path(model)
    return read_attached(path)[0] if path.suffix == ".tflite" else labels_of(find_saved_model(path))


def check_address(model: str) -> None:
    """Refuse an address of an endpoint that holds a password or token, before anything shows it.

    Args:
        model: As for `Detector.load`.

    Raises:
        InputError: It does; the message does not show it.
    """
    if "://" in model and ("@" in model or "?" in model):
        raise InputError(
            "the address of an endpoint contains credentials, or a query.",
            hint=f"Write it without, and put a token into {TOKEN_VARIABLE}.",
        )


def _connect(url: str, name: str, timeout: float) -> Backend:
    check_address(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port above 65535, or no name of a host
        raise _no_address(url) from None
    base, _, named = parts.path.partition("/v1/models/")
    model = unquote(named.strip("/")) or name
    if parts.scheme in ("http", "https") and parts.hostname:
        from kfdet.detection.rest import RestBackend

        address = f"{parts.scheme}://{parts.netloc}{base.rstrip('/')}"
        return RestBackend(address, model, timeout)
    if parts.scheme == "grpc" and port:
        from kfdet.detection.grpc import GrpcBackend

        return GrpcBackend(parts.netloc, model, timeout)
    raise _no_address(url)


def _no_address(url: str) -> InputError:
    return InputError(
        f"{url!r} is not the address of an endpoint.",
        hint="Give http://HOST:PORT, https://HOST or grpc://HOST:PORT.",
    )
