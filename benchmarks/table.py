"""The table that every benchmark prints: ours, what a user would run instead, and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison, both sides measured in the same run.

    Args:
        name: What was measured.
        ours: Our figure.
        theirs: The other side's figure; 0 where there is none, as with a floor of its own.
        unit: Unit of both figures.
        ratio: How many times better ours is, as `floor` counts it.
        floor: The least ratio (or figure, where there is no other side) that is good enough.
    """

    name: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    floor: float

    @property
    def good(self) -> bool:
        """Return whether the floor holds."""
        return self.ratio >= self.floor


def print_table(rows: Sequence[Row]) -> None:
    """Print `rows`, each with its verdict."""
    header = ("what", "ours", "theirs", "unit", "ratio", "floor", "")
    lines = [header] + [
        (
            row.name,
            f"{row.ours:,.4g}",
            f"{row.theirs:,.4g}" if row.theirs else "-",
            row.unit,
            f"{row.ratio:.2f}",
            f"{row.floor:g}",
            "ok" if row.good else "BELOW",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            text.ljust(width) if column in (0, 3) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
