"""A smoke test of a served model: does it answer, and does it find what a person labelled?"""

from __future__ import annotations

import base64
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from kfdet.boxes.tables import Boxes, iou_matrix
from kfdet.cluster.api import Cluster
from kfdet.cluster.refusals import ClusterUnreachableError
from kfdet.deployment.endpoint import Endpoint, is_standard
from kfdet.detection import Detections, Detector
from kfdet.detection.backend import Answer
from kfdet.detection.endpoint import ATTEMPTS
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.ground_truth import read_ground_truth
from kfdet.records.reading import Records

PICTURES = 4
"""Number of validation pictures in a test."""

_PAUSE_SECONDS = 2.0

_SAME_PLACE = 0.5
"""Least intersection over union of a detection and the labelled object that it shows."""

_GREY = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIJtb3RD77SAA6VEEAoFA"
    "IBAIBAKBQCAQfA8G18/waiADHKgAAAAASUVORK5CYII="
)
"""A grey PNG of 64 x 64 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """A picture for the test.

    Args:
        name: Its name in error messages.
        image: JPEG or PNG.
        boxes: (N, 4) xmin, ymin, xmax, ymax in its pixels, as a person drew them; may be empty.
        labels: N label names.
    """

    name: str
    image: bytes
    boxes: Boxes
    labels: Sequence[str]


def validation_pictures(records: Records) -> list[LabelledPicture]:
    """The first validation pictures with objects.

    Raises:
        InputError: There is no such picture.
    """
    labelled = [truth for truth in read_ground_truth(records) if len(truth.classes)][:PICTURES]
    if not labelled:
        raise InputError("there is no validation picture with an object.", file=records.folder)
    pictures = records.pictures(truth.source_id for truth in labelled)
    return [
        LabelledPicture(
            f"{truth.video}, frame {truth.frame}",
            jpeg,
            truth.to_stored(truth.boxes),
            [records.labels[number - 1] for number in truth.classes.tolist()],
        )
        for (_, jpeg), truth in zip(pictures, labelled, strict=True)
    ]


def picture_of(path: Path) -> LabelledPicture:
    """A picture without ground truth.

    Raises:
        InputError: It cannot be read.
    """
    try:
        image = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}.", file=path) from error
    return LabelledPicture(str(path), image, np.zeros((0, 4)), ())


def plain_picture() -> LabelledPicture:
    """A picture that shows nothing: it tells whether a model answers, and with valid numbers."""
    return LabelledPicture("a plain picture", base64.b64decode(_GREY), np.zeros((0, 4)), ())


def smoke_test(cluster: Cluster, pictures: Sequence[LabelledPicture], endpoint: Endpoint) -> None:
    """Check the detections of an endpoint on a few pictures.

    The test passes if all numbers are valid, and if at least one labelled object is detected at
    its place: a model that was damaged in transfer, or is served by an incompatible TensorFlow,
    finds none.

    Args:
        cluster: Where the endpoint is.
        pictures: Pictures to detect in.
        endpoint: The endpoint.

    Raises:
        KfdetError: It does not answer, or fails the test.
    """
    seen = 0
    with _detector(cluster, endpoint) as detector:
        for picture in pictures:
            found = detector.detect(picture.image)
            _check_numbers(endpoint.name, picture, found)
            seen += _objects_found(picture, found)
    labelled = sum(len(picture.labels) for picture in pictures)
    if labelled and not seen:
        raise KfdetError(
            f"{endpoint.name} answers, but detects none of the {labelled} objects in "
            f"{len(pictures)} validation pictures. Is the model in the bucket the one that was "
            "evaluated, and is the serving runtime's TensorFlow at least as new as the training's?"
        )


def _check_numbers(name: str, picture: LabelledPicture, found: Detections) -> None:
    if found.scores.min(initial=0) < 0 or found.scores.max(initial=0) > 1:
        raise KfdetError(
            f"{name} answers to {picture.name} with invalid scores: the model or its serving "
            "runtime is broken."
        )


def _objects_found(picture: LabelledPicture, found: Detections) -> int:
    """How many labelled objects overlap with a detection of the same label."""
    same_label = np.array(picture.labels)[:, None] == np.array(found.labels)[None]
    same_place = iou_matrix(picture.boxes, found.boxes) >= _SAME_PLACE
    return int((same_label & same_place).any(axis=1).sum())


def _detector(cluster: Cluster, endpoint: Endpoint) -> Detector:
    """The endpoint's detector, from wherever this process runs."""
    if cluster.inside:
        return Detector.load(endpoint.address, name=endpoint.name)
    if not is_standard(endpoint.mode):
        # Knative's Services lead to a gateway, which needs the right host.
        return Detector.load(endpoint.url, name=endpoint.name)
    return Detector(_ApiServerBackend(cluster, endpoint))


class _ApiServerBackend:
    """TensorFlow Serving's REST API of a Service inside the cluster, through the API server."""

    labels = None
    input_size = None
    thresholds = None
    in_flight = 1

    def __init__(self, cluster: Cluster, endpoint: Endpoint) -> None:
        self.place = f"{endpoint.address} (model {endpoint.name}, through the API server)"
        service = (urlsplit(endpoint.address).hostname or "").split(".")[0] + ":80"
        path = f"v1/models/{endpoint.name}:predict"
        self._post = functools.partial(cluster.post_to_service, service, path)

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for all pictures; a connection that fails is tried again, ATTEMPTS times."""
        body = {"instances": [{"b64": base64.b64encode(data).decode()} for data in pictures]}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return Answer(self._post(body)["predictions"], seconds=None)
            except ClusterUnreachableError:
                # A pod is ready a moment before its Service knows it.
                if attempt == ATTEMPTS:
                    raise
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Nothing is kept open."""
