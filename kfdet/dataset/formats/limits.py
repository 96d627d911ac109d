"""The largest values that an annotation file may hold: far above real data, far below what hurts.

Files come from anywhere. A number in them may not decide how much memory or time kfdet takes.
"""

from __future__ import annotations

MAX_FRAMES = 8_000_000
"""Frames of a video: 37 hours at 60 frames per second."""
MAX_BOXES = 10_000_000
"""Boxes of one file."""
MAX_WRITTEN_BOXES = 2_000_000
"""Boxes on all frames that a conversion writes: one object for 18 hours at 30 frames per second."""
MAX_LABELS = 10_000
MAX_LABEL_LENGTH = 255
MAX_SIDE = 1 << 20
"""Pixels of the width or height of a picture."""
MAX_COORDINATE = 1e7
"""Pixels, or shares, that a box may lie from the picture's corner."""
MAX_ID = (1 << 53) - 1
"""Track numbers: the integers that every JSON reader and a float64 hold exactly."""
MAX_DEPTH = 64
"""Elements inside each other in XML, and collections inside each other in YAML."""
MAX_YAML_BYTES = 1 << 20
MAX_PATH_BYTES = 1000
MAX_NAME_BYTES = 200
"""Of one part of a path; file systems hold 255, suffixes and temporary names included."""

_MAX_DIGITS = 18


def whole_number(text: str) -> int | None:
    """The number that `text` writes in at most 18 decimal digits; None for anything else."""
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None
