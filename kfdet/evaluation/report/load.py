"""The page of a load test: rate and latency over the number of requests in flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kfdet.detection.drawing import PALETTE
from kfdet.evaluation.load import Advice, Level
from kfdet.evaluation.report.charts import Series, css_color, line_chart
from kfdet.evaluation.report.page import Origin, environment


def render_load(
    measured: Mapping[str, Sequence[Level]], advice: Mapping[str, Advice], origin: Origin
) -> str:
    """The page as HTML.

    Args:
        measured: The levels by address of the endpoint.
        advice: What they suggest, likewise.
        origin: Date and version to show.
    """
    colors = [css_color(PALETTE[number % len(PALETTE)]) for number in range(len(measured))]
    rates, times = [], []
    for (address, levels), color in zip(measured.items(), colors, strict=True):
        x = [level.in_flight for level in levels]
        rates.append(Series(address, x, [level.per_second for level in levels], color=color))
        for name, dashed in (("p50_ms", False), ("p95_ms", True)):
            y = [getattr(level, name) for level in levels]
            times.append(Series(f"{address}, {name[:3]}", x, y, color=color, dashed=dashed))
    charts = [
        line_chart(
            rates,
            description="Requests a second over requests in flight.",
            x_label="Requests in flight",
            y_label="Requests a second",
        ),
        line_chart(
            times,
            description="Milliseconds of half and of 95 % of the requests over those in flight.",
            x_label="Requests in flight",
            y_label="Milliseconds",
        ),
    ]
    return (
        environment()
        .get_template("load.html")
        .render(measured=measured, advice=advice, charts=charts, origin=origin)
    )
