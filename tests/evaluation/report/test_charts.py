from __future__ import annotations

import numpy as np
import pytest

from kfdet.evaluation.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    line_chart,
)


def chart(*series, **options):
    return line_chart(series, description="d", x_label="x", y_label="y", **options)


def points(line) -> list[list[float]]:
    return [[float(v) for v in pair.split(",")] for pair in line.points.split()]


@pytest.mark.parametrize("y", [[0.0], [5.0], [0.0, 0.0]])
def test_lines_without_extent(y):
    assert len(points(chart(Series("a", range(len(y)), y)).lines[0])) == len(y)


def test_ends_lie_on_the_frame():
    made = chart(Series("a", [0, 1], [0, 1], (1, 1)), x_range=(0, 1), y_range=(0, 1))
    assert points(made.lines[0]) == [[LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, TOP]]
    assert made.lines[0].marker == (WIDTH - RIGHT, TOP)
    assert [text for _, text in made.x_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert made.y_ticks[0] == (HEIGHT - BOTTOM, "0")


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [(0, 600, ["0", "200", "400", "600"]), (10, 40, ["10", "20", "30", "40"]), (0, 3, None)],
)
def test_ticks_are_round_and_inside(low, high, texts):
    ticks = chart(Series("a", [low, high], [0, 1])).x_ticks
    assert texts is None or [text for _, text in ticks] == texts
    assert all(LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1 for x, _ in ticks)
    assert 3 <= len(ticks) <= 8


def test_logarithmic_axis():
    made = chart(Series("a", [0, 1, 2], [100, 10, 1]), log_y=True)
    heights = [y for _, y in points(made.lines[0])]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    assert [text for _, text in made.y_ticks] == ["1", "2", "5", "10", "20", "50", "100"]


def test_long_lines_are_thinned_where_little_happens():
    x = np.concatenate([np.linspace(0, 0.9, 100), np.linspace(0.9, 1, 20000)])
    y = np.concatenate([1 - 0.1 * np.linspace(0, 1, 100), np.linspace(0.9, 0, 20000)])
    line = points(chart(Series("a", x, y), x_range=(0, 1), y_range=(0, 1)).lines[0])
    assert len(line) <= 240
    assert line[0] == [LEFT, TOP]
    assert line[-1] == [WIDTH - RIGHT, HEIGHT - BOTTOM]
    assert sum(a < LEFT + 300 for a, _ in line) > 40
