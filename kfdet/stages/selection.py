"""Selection stage: the trained models of a sweep in; the best one and their comparison out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfdet
from kfdet.detection import Detector
from kfdet.evaluation.report.page import Origin
from kfdet.evaluation.report.sweep import render_sweep
from kfdet.evaluation.speed import BATCH_SIZE, cpu_name, time_batches
from kfdet.evaluation.trials import Trial, rank
from kfdet.events import track
from kfdet.export.module import load_module
from kfdet.export.saved_model import write_saved_model
from kfdet.files import atomic_file, atomic_folder, count_cores, list_files
from kfdet.parameters import SweepSettings
from kfdet.storage.shards import open_records
from kfdet.training.grid import swept_names
from kfdet.training.history import read_history


def select(
    models: Sequence[Path],
    records: Path,
    model: Path,
    sweep: Path,
    comparison: Path,
    settings: SweepSettings,
    *,
    command: str = "",
) -> dict[str, Any]:
    """Choose the model with the highest AP50 on the validation side.

    Speed and size are those of the exported model, all measured here, one after another.

    Args:
        models: Folders that the trainings wrote, in any order.
        records: Folder of the TFRecord build, for pictures to measure the speed with.
        model: Folder to write: a copy of the best one.
        sweep: sweep.json to write: `trials`, the best first, and the `chosen` settings.
        comparison: HTML page to write.
        settings: What the sweep compares.
        command: The command that made the run, for the page; "" where it is not known.

    Returns:
        The settings of the best one, as they were used.
    """
    names = swept_names(settings)
    with open_records(records) as opened:
        name = opened.description.get("name", "")
        first = opened.examples("val", ["source_id"])["source_id"].to_pylist()[:BATCH_SIZE]
        pictures = [jpeg for _, jpeg in opened.pictures(first)]
    trials = [
        _measure(each, names, pictures)
        for each in track(models, "comparing the models", len(models), "models")
    ]
    ranked = rank(trials)
    machine = f"{cpu_name()}, {count_cores()} cores"
    best = trials[ranked[0]]
    with atomic_folder(model) as folder:
        shutil.copytree(models[ranked[0]], folder, dirs_exist_ok=True)
    document = {
        "trials": [trials[i].to_dict() for i in ranked],
        "chosen": best.settings,
        "machine": machine,
    }
    with atomic_file(sweep) as path:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    origin = Origin(name, command, datetime.now(UTC), kfdet.__version__)
    with atomic_file(comparison) as path:
        page = render_sweep([trials[i] for i in ranked], machine, origin)
        path.write_text(page, encoding="utf-8")
    return best.settings


def _measure(model: Path, names: Sequence[str], pictures: Sequence[bytes]) -> Trial:
    """What is known of a trained model, and the speed and the size of its export."""
    history = read_history(model)
    best = history.best()
    assert best is not None
    with tempfile.TemporaryDirectory(prefix="kfdet-trial-") as scratch:
        write_saved_model(load_module(model), Path(scratch))
        size = sum(path.stat().st_size for path in list_files(Path(scratch)))
        with Detector.load(scratch) as detector:
            ms_per_image = time_batches(detector, pictures, 1)
    return Trial(
        settings={name: history.parameters[name] for name in names},
        ap50=best["AP50"],
        ap=best["AP"],
        ms_per_image=round(ms_per_image, 3),
        megabytes=round(size / 1e6, 3),
        minutes=round(history.seconds / 60, 3),
    )
