"""Selection: the best of several trainings on the same records."""

import json
import os
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.events import COMMAND_VARIABLE
from kfdet.parameters import SweepSettings


@component(IMAGE)
def selection(
    models: dsl.Input[list[dsl.Model]],
    records: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    sweep: dsl.Output[dsl.Artifact],
    comparison: dsl.Output[dsl.HTML],
    settings: SweepSettings,
) -> dict:  # type: ignore[type-arg]
    """Choose the model with the highest AP50 on the validation side, if that is not by chance.

    Args:
        models: The trained models.
        records: The TFRecords.
        model: The chosen one.
        sweep: sweep.json: AP50, AP, speed, size and training time of each setting, and how sure the
            choice is.
        comparison: The same as one self-contained HTML page.
        settings: Which trainings a sweep compares.

    Returns:
        The settings of the chosen one.
    """
    from kfdet.stages.selection import select

    chosen = select(
        [Path(artifact.path) for artifact in models],
        Path(records.path),
        Path(model.path),
        Path(sweep.path),
        Path(comparison.path),
        settings,
        command=os.environ.get(COMMAND_VARIABLE, ""),
    )
    described = json.loads(Path(model.path, "model.json").read_text())
    for name in ("network", "height", "width", "labels", "step"):
        model.metadata[name] = described[name]
    return chosen
