"""metrics.json and run.json as small as their readers allow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kfdet.parameters import Parameters

FIGURES = {"AP": 0.6, "AP50": 0.9, "precision": 0.9, "recall": 0.8, "threshold": 0.4}


def metrics(**change: Any) -> dict[str, Any]:
    """The content of a metrics.json."""
    return {
        **FIGURES,
        "per_class": {"mug": FIGURES},
        "split": {"strategy": "video", "val_share": 0.2},
        "truth": {"side": "val", "frames": 40, "boxes": 90, "AP50_interval": [0.84, 0.95]},
        "verdict": True,
        "verdict_reasons": [],
    } | change


def record(**change: Any) -> dict[str, Any]:
    """The content of a run.json."""
    stage = {"tasks": 1, "cached": 0, "finished": "2026-11-21T09:00:00+00:00"}
    return {
        "dataset": {"path": "videos", "version": "1", "content": "2"},
        "parameters": asdict(Parameters()),
        "stages": [
            {"stage": "planning", "seconds": 90.0, **stage},
            {"stage": "training", "seconds": 30.0, **stage},
        ],
        "sweep": None,
        "verdict": True,
    } | change
