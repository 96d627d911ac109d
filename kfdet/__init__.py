"""Key frames in, a served detector out.

>>> import kfdet
>>> run = kfdet.run("videos", "run", steps=2)
>>> picture = kfdet.Detector.load(run.model).detect("photo.jpg").draw()
>>> picture.save("drawn.jpg")

What is imported here is the public API. It loads when it is first used, so that `import kfdet` is
quick and needs none of the extras. Its functions never end the interpreter: what a user can act on
is raised as `InputError`, everything else that kfdet explains as `KfdetError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfdet.console.library import (
        check,
        convert,
        evaluate,
        interpolate,
        load_dataset,
        load_endpoint,
        run,
        sweep,
    )
    from kfdet.detection.detections import Detections
    from kfdet.detection.detector import Detector
    from kfdet.errors import InputError, KfdetError, Problem
    from kfdet.local.results import Run
    from kfdet.parameters import Parameters

__version__ = "0.1.0"

__all__ = [
    "Detections",
    "Detector",
    "InputError",
    "KfdetError",
    "Parameters",
    "Problem",
    "Run",
    "check",
    "convert",
    "evaluate",
    "interpolate",
    "load_dataset",
    "load_endpoint",
    "run",
    "sweep",
]

_HOMES = {
    "Detections": "kfdet.detection.detections",
    "Detector": "kfdet.detection.detector",
    "InputError": "kfdet.errors",
    "KfdetError": "kfdet.errors",
    "Parameters": "kfdet.parameters",
    "Problem": "kfdet.errors",
    "Run": "kfdet.local.results",
    "check": "kfdet.console.library",
    "convert": "kfdet.console.library",
    "evaluate": "kfdet.console.library",
    "interpolate": "kfdet.console.library",
    "load_dataset": "kfdet.console.library",
    "load_endpoint": "kfdet.console.library",
    "run": "kfdet.console.library",
    "sweep": "kfdet.console.library",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
