"""What a model or a server answers, checked before anything believes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes
from kfdet.dataset.formats.border import is_text
from kfdet.dataset.formats.limits import MAX_LABEL_LENGTH
from kfdet.detection.backend import OUTPUTS
from kfdet.detection.endpoint import EndpointError

MOST_BYTES = 16 << 20
"""The longest answer to one request that is read; those of kfdet's models have some 100 KB."""


_FARTHEST = 100
"""The largest coordinate of a box, as a multiple of the picture's side."""


def read_row(row: Any, place: str) -> tuple[Boxes, tuple[str, ...], npt.NDArray[np.float64]]:
    """The valid detections of one picture, best score first.

    Args:
        row: The picture's outputs by name, as a Backend answers.
        place: What messages call the model.

    Returns:
        Boxes (N, 4) ymin, xmin, ymax, xmax as shares of the picture, N labels, and scores (N,).

    Raises:
        EndpointError: An output is missing, or is not what its name says.
    """
    given = row if isinstance(row, Mapping) else {}
    missing = [name for name in OUTPUTS if name not in given]
    if missing:
        raise EndpointError(
            f"{place} answers without {', '.join(missing)}; it has "
            f"{', '.join(sorted(map(str, given)))[:200]}. Use a model that kfdet exported."
        )
    try:
        return _read(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EndpointError(
            f"{place} answers with detections that are not valid: {str(error)[:200]}. "
            "Use a model that kfdet exported."
        ) from error


def _read(row: Mapping[str, Any]) -> tuple[Boxes, tuple[str, ...], npt.NDArray[np.float64]]:
    count = float(row["num_detections"])
    boxes = np.asarray(row["detection_boxes"], np.float64)
    scores = np.asarray(row["detection_scores"], np.float64)
    names = row["detection_class_names"]
    if not isinstance(names, list | tuple | np.ndarray):
        raise TypeError("the names are not a list")
    if boxes.size == 0:
        boxes = boxes.reshape(-1, 4)
    rows = len(names)
    if boxes.shape != (rows, 4) or scores.shape != (rows,) or not 0 <= count <= rows:
        raise ValueError(
            f"num_detections is {count:g}, with boxes of shape {boxes.shape}, scores of shape "
            f"{scores.shape} and {rows} names"
        )
    valid = int(count)
    boxes, scores, names = boxes[:valid], scores[:valid], names[:valid]
    if valid != count or not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("a number is missing or not finite")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name is not text")
    if not all(name and is_text(name, MAX_LABEL_LENGTH) for name in names):
        raise ValueError("a name is empty, too long, or has control characters")
    if (np.abs(boxes) > _FARTHEST).any() or (scores < 0).any() or (scores > 1).any():
        raise ValueError("boxes must be shares of the picture, and scores 0 to 1")
    order = np.argsort(-scores, kind="stable")
    return boxes[order], tuple(names[index] for index in order), scores[order]
