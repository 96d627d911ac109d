"""The page of a sweep: its trials in one table, and what their AP50 costs in one plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kfdet.detection.drawing import palette
from kfdet.evaluation.report.charts import Chart, Series, css_color, line_chart
from kfdet.evaluation.report.page import Origin, environment
from kfdet.evaluation.trials import Trial

_COSTS = (
    ("ms_per_image", "Milliseconds per picture"),
    ("megabytes", "Megabytes of the model"),
    ("minutes", "Minutes of training"),
)
_MARGIN = 1.08  # room for the number beside the point on the right


def render_sweep(trials: Sequence[Trial], reason: str, machine: str, origin: Origin) -> str:
    """The page as HTML.

    Args:
        trials: At least one, the chosen one first.
        reason: Why the first one is chosen, and how sure that is.
        machine: What measured the milliseconds.
        origin: Dataset, command, date and version to show.
    """
    names = [str(number) for number in range(1, len(trials) + 1)]
    colors = [css_color(color) for color in palette(names).values()]
    return (
        environment()
        .get_template("sweep.html")
        .render(
            trials=trials,
            parameters=list(trials[0].settings),
            colors=colors,
            charts=[_plot(trials, colors, *cost) for cost in _COSTS],
            reason=reason,
            machine=machine,
            origin=origin,
        )
    )


def _plot(trials: Sequence[Trial], colors: Sequence[str], cost: str, title: str) -> Chart:
    """AP50 over a cost: one numbered point per trial."""
    points = [(getattr(trial, cost), trial.AP50) for trial in trials]
    low = max(0.0, math.floor(10 * min(y for _, y in points) - 0.5) / 10)
    return line_chart(
        [
            Series(str(number), [x], [y], (x, y), color)
            for number, ((x, y), color) in enumerate(zip(points, colors, strict=True), start=1)
        ],
        description=f"AP50 over {title.lower()}, one point per setting.",
        x_label=title,
        y_label="AP50",
        x_range=(0, _MARGIN * max(x for x, _ in points)),
        y_range=(low, 1),
    )
