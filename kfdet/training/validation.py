"""What a validation gives to its judge: all answers of the network, by picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Answer(NamedTuple):
    """What the network finds on one picture.

    Args:
        boxes: (N, 4) xmin, ymin, xmax, ymax in pixels of the stored picture.
        scores: (N,) 0 to 1.
        classes: (N,) class ids, from 1.
    """

    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]


Validate = Callable[[Mapping[int, Answer]], dict[str, float]]
"""Takes the answers by source_id; gives AP, AP50 and AP75, each 0 to 1."""


class Judge:
    """Stands in for Model Garden's COCO evaluator: it collects answers and lets `validate` judge.

    Args:
        validate: The measure.
    """

    name = "validation"

    def __init__(self, validate: Validate) -> None:
        self.validate = validate
        self.answers: dict[int, Answer] = {}

    def reset_states(self) -> None:
        """Begin a new validation."""
        self.answers = {}

    def update_state(self, _: Any, predictions: Mapping[str, Any]) -> None:
        """Take a batch of predictions: boxes are ymin, xmin, ymax, xmax in input pixels."""
        batch = {name: values.numpy() for name, values in predictions.items()}
        for row, source_id in enumerate(batch["source_id"].tolist()):
            found = slice(0, int(batch["num_detections"][row]))
            scale = np.tile(batch["image_info"][row, 2], 2)
            boxes = batch["detection_boxes"][row, found] / scale
            self.answers[int(source_id)] = Answer(
                boxes[:, [1, 0, 3, 2]].astype(np.float64),
                batch["detection_scores"][row, found].astype(np.float64),
                batch["detection_classes"][row, found].astype(np.int64),
            )

    def result(self) -> dict[str, float]:
        """The measures of all answers so far."""
        return self.validate(self.answers)
