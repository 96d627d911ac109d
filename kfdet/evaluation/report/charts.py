"""The geometry of the report's charts; the template draws it as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kfdet.detection.drawing import Color

WIDTH, HEIGHT = 480.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 10.0, 40.0
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Series:
    """One line: data, and optionally one point of it to mark; `color` is any CSS colour."""

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    marker: tuple[float, float] | None = None
    color: str = "var(--ink)"
    strong: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line in the chart's coordinates: "x,y x,y ..."."""

    name: str
    points: str
    marker: tuple[float, float] | None
    color: str
    strong: bool
    dashed: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart of WIDTH by HEIGHT; ticks are positions with their text."""

    description: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]


def line_chart(
    series: Sequence[Series],
    *,
    description: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log_y: bool = False,
) -> Chart:
    """Lay out lines over axes with round numbers.

    Args:
        series: At least one line with at least one point.
        description: What the chart shows, for people who cannot see it.
        x_label: Name of the axis.
        y_label: Name of the axis.
        x_range: Ends of the axis; those of the data by default.
        y_range: Ends of the axis; 0 and the data's maximum by default (on a logarithmic axis the
            data's ends).
        log_y: Logarithmic; every y must be positive.
    """
    xs = np.concatenate([np.asarray(s.x, float) for s in series])
    ys = np.concatenate([np.asarray(s.y, float) for s in series])
    x0, x1 = _widen(*(x_range or (float(xs.min()), float(xs.max()))))
    low = float(ys.min()) if log_y else 0.0
    y0, y1 = _widen(*(y_range or (low, float(ys.max()))))
    y_ticks = _log_ticks(y0, y1) if log_y else _ticks(y0, y1)

    def across(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        share: npt.NDArray[np.float64] = (np.asarray(x, float) - x0) / (x1 - x0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        value = np.asarray(y, float)
        share: npt.NDArray[np.float64] = (
            np.log(value / y0) / math.log(y1 / y0) if log_y else (value - y0) / (y1 - y0)
        )
        return HEIGHT - BOTTOM - np.clip(share, 0, 1) * (HEIGHT - TOP - BOTTOM)

    lines = []
    for one in series:
        x, y = _thin(across(one.x), down(one.y))
        marker = one.marker and (
            round(float(across(one.marker[0])), 1),
            round(float(down(one.marker[1])), 1),
        )
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append(Line(one.name, points, marker, one.color, one.strong, one.dashed))
    return Chart(
        description,
        x_label,
        y_label,
        [(round(float(across(tick)), 1), f"{tick:g}") for tick in _ticks(x0, x1)],
        [(round(float(down(tick)), 1), f"{tick:g}") for tick in y_ticks],
        lines,
    )


def css_color(color: Color) -> str:
    """A colour of the pictures as CSS: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _widen(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low, low + max(abs(low), 1.0))


def _thin(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """At most _POINTS points, evenly spread along the line, the ends among them."""
    if len(x) <= _POINTS:
        return x, y
    way = np.append(0.0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)))
    return np.take(x, kept), np.take(y, kept)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    return [round(tick, 10) for tick in ticks if low <= tick <= high]
