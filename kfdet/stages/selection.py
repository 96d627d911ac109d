"""Selection stage: the trained models of a sweep in; the chosen one and their comparison out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfdet
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.model_run import load_detector, run_model
from kfdet.evaluation.report.page import Origin
from kfdet.evaluation.report.sweep import render_sweep
from kfdet.evaluation.speed import BATCH_SIZE, cpu_name, time_batches
from kfdet.evaluation.trials import Trial, compared, explain, order
from kfdet.events import track
from kfdet.export.module import load_module
from kfdet.export.saved_model import write_saved_model
from kfdet.files import atomic_file, atomic_folder, count_cores, list_files
from kfdet.parameters import SweepSettings
from kfdet.records.reading import Records
from kfdet.storage.shards import KEPT_BYTES, open_records
from kfdet.training.grid import is_first, swept_names
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

    Where chance may explain its lead over the one that the grid names first, that one. AP50, speed
    and size are those of the exported model, all measured here, one after another.

    Args:
        models: Folders that the trainings wrote, in any order.
        records: Folder of the TFRecord build.
        model: Folder to write: a copy of the chosen one.
        sweep: sweep.json to write: `trials`, the chosen one first, then the best first; what is
            `chosen`; and the `reason`, with how sure the choice is.
        comparison: HTML page to write.
        settings: What the sweep compares.
        command: The command that made the run, for the page; "" where it is not known.

    Returns:
        The settings of the chosen one, as they were used.
    """
    names = swept_names(settings)
    with open_records(records, kept_bytes=KEPT_BYTES) as opened:
        found = [
            _measure(each, opened, names)
            for each in track(models, "comparing the models", len(models), "models")
        ]
        name, labels = opened.description.get("name", ""), opened.labels
    first = next(
        (i for i, (each, _) in enumerate(found) if is_first(settings, each.settings)), None
    )
    ordered = order(found, labels, first)
    trials = compared([found[i] for i in ordered], labels)
    reason = explain(trials, found[0][1].truth.frames)
    machine = f"{cpu_name()}, {count_cores()} cores"
    chosen = trials[0].settings
    with atomic_folder(model) as folder:
        shutil.copytree(models[ordered[0]], folder, dirs_exist_ok=True)
    document = {
        "trials": [asdict(trial) for trial in trials],
        "chosen": chosen,
        "reason": reason,
        "machine": machine,
    }
    with atomic_file(sweep) as path:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    origin = Origin(name, command, datetime.now(UTC), kfdet.__version__)
    with atomic_file(comparison) as path:
        path.write_text(render_sweep(trials, reason, machine, origin), encoding="utf-8")
    return chosen


def _measure(model: Path, records: Records, names: Sequence[str]) -> tuple[Trial, Measurement]:
    """What is known of a trained model, and what is measured of its export."""
    history = read_history(model)
    with tempfile.TemporaryDirectory(prefix="kfdet-trial-") as scratch:
        write_saved_model(load_module(model), Path(scratch))
        size = sum(path.stat().st_size for path in list_files(Path(scratch)))
        with load_detector(Path(scratch), records.labels) as detector:
            run = run_model(records, detector, timed=False)
            first = (truth.source_id for truth in run.truths[:BATCH_SIZE])
            pictures = [jpeg for _, jpeg in records.pictures(first)]
            ms_per_image = time_batches(detector, pictures, 1)
    rates = frame_rates(records.description)
    measurement = measure(run.truths, run.detections, records.labels, rates)
    trial = Trial(
        settings={name: history.parameters[name] for name in names},
        AP50=measurement.coco.ap50 or 0.0,
        AP=measurement.coco.ap or 0.0,
        ms_per_image=round(ms_per_image, 3),
        megabytes=round(size / 1e6, 3),
        minutes=round(history.seconds / 60, 3),
    )
    return trial, measurement
