"""The interface behind a `Detector`: it answers encoded pictures with named outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kfdet.detection.thresholds import Thresholds

OUTPUTS = ("detection_boxes", "detection_scores", "detection_class_names", "num_detections")
"""The outputs of kfdet's serving signature that detections are read from."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs for some pictures.

    Args:
        rows: For each picture its OUTPUTS by name: boxes (N, 4) ymin, xmin, ymax, xmax as shares of
            the picture, scores (N,), N names, and the number of valid rows.
        seconds: Time of the model for all of them; None if unknown.
    """

    rows: Sequence[Mapping[str, Any]]
    seconds: float | None


class Backend(Protocol):
    """A way to run a model."""

    @property
    def place(self) -> str:
        """What error messages call it."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Label names, class id 1 first; None if unknown."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the network's input in pixels; None if unknown."""

    @property
    def thresholds(self) -> Thresholds | None:
        """Recommended thresholds; None if unknown."""

    @property
    def in_flight(self) -> int:
        """Calls of `predict` that are worth having under way at a time; 1: no more are allowed."""

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for encoded pictures, in their order."""

    def close(self) -> None:
        """Release connections and memory."""
