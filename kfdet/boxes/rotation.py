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


def turn_about_centre(xmin: float, ymin: float, xmax: float, ymax: float, rotation: float) -> Box:
    """The box that, turned about its centre, covers what this one covers turned about xmin, ymin.

    Args:
        xmin: Left side, pixels; the other sides likewise.
        ymin: Upper side.
        xmax: Right side.
        ymax: Lower side.
        rotation: Degrees clockwise.
    """
    angle = math.radians(rotation)
    half_x, half_y = (xmax - xmin) / 2, (ymax - ymin) / 2
    x = xmin + half_x * math.cos(angle) - half_y * math.sin(angle)
    y = ymin + half_x * math.sin(angle) + half_y * math.cos(angle)
    return x - half_x, y - half_y, x + half_x, y + half_y
