from __future__ import annotations

from pathlib import Path

import pytest

from kfdet.local.results import Run


@pytest.mark.parametrize(
    ("ap50", "good", "text"),
    [
        (0.91234, True, "AP50 0.912, good enough to serve"),
        (None, False, "AP50 not measured, not good enough to serve"),
    ],
)
def test_a_run_shows_how_good_it_is(ap50: float | None, good: bool, text: str) -> None:
    run = Run(Path("toys"), {"AP50": ap50, "verdict": good, "per_class": {}}, {"stages": []})
    assert repr(run) == f"<Run toys: {text}>"
