from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from kfdet.console.summary import print_metrics

NUMBERS = {"AP50": 0.9, "AP": 0.5, "precision": 0.8, "recall": None}


@pytest.mark.parametrize(
    ("strategy", "good", "lines"),
    [
        ("video", True, ("40 frames", "verdict: good enough to serve\n")),
        ("time-block", True, ("40 frames", "verdict: good enough to serve in this place\n")),
        ("image", True, ("40 images", "verdict: good enough to serve\n")),
        ("image", False, ("40 images", "verdict: not good enough to serve\n  AP50 is low")),
    ],
)
def test_metrics(strategy: str, good: bool, lines: tuple[str, ...]) -> None:
    metrics = {
        **NUMBERS,
        "per_class": {"mug": NUMBERS},
        "split": {"strategy": strategy, "val_frames": 400},
        "truth": {"frames": 40, "boxes": 90, "AP50_interval": [0.84, 0.95]},
        "verdict": good,
        "verdict_reasons": [] if good else ["AP50 is low."],
    }
    console = Console(file=StringIO(), width=100)
    print_metrics(console, metrics)
    printed = console.file.getvalue()
    assert all(line in printed for line in lines)
    assert "0.900" in printed
    assert "measured on 90 boxes drawn by a person" in printed
    assert "between 0.840 and 0.950" in printed
