"""Small facts about single boxes."""

from __future__ import annotations

import math

Box = tuple[float, float, float, float]


def envelope(xmin: float, ymin: float, xmax: float, ymax: float, rotation: float) -> Box:
    """The upright box around a box turned by `rotation` degrees about its centre."""
    if not rotation:
        return xmin, ymin, xmax, ymax
    angle = math.radians(rotation)
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = xmax - xmin, ymax - ymin
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    return x - half_x, y - half_y, x + half_x, y + half_y
