"""The page of a batch scoring: what was found, in which files, with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfdet.detection.drawing import palette
from kfdet.evaluation.report.charts import css_color
from kfdet.evaluation.report.gallery import data_uri
from kfdet.evaluation.report.page import Origin, environment

_MOST_ROWS = 200


def render_scoring(
    summary: Mapping[str, Any],
    labels: Sequence[str],
    rows: Sequence[tuple[str, int, int]],
    previews: Mapping[str, bytes],
    origin: Origin,
) -> str:
    """The page as HTML.

    Args:
        summary: As `kfdet.scoring.summary.Summary`.
        labels: The model's labels, class id 1 first; empty where it does not tell.
        rows: Name, number of frames and number of detections of each file.
        previews: JPEGs by name of the file.
        origin: What was scored, date and version to show.
    """
    colors = palette(labels or [*summary["labels"]])
    most = sorted(rows, key=lambda row: (-row[2], row[0]))
    return (
        environment()
        .get_template("scoring.html")
        .render(
            summary=summary,
            colors={name: css_color(color) for name, color in colors.items()},
            rows=most[:_MOST_ROWS],
            left_out=max(0, len(most) - _MOST_ROWS),
            previews={name: data_uri(jpeg, "image/jpeg") for name, jpeg in previews.items()},
            origin=origin,
        )
    )
