"""Evaluation stage: exported model and records in; metrics, report, gallery and verdict out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfdet
from kfdet.detection.saved_model import find_saved_model
from kfdet.evaluation.error_analysis import ErrorAnalysis
from kfdet.evaluation.ground_truth import read_dataset, read_images, reported_side
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.metrics import describe
from kfdet.evaluation.model_run import ModelRun, load_detector, run_model
from kfdet.evaluation.report.gallery import Shot, contact_sheet, make_shots, select
from kfdet.evaluation.report.page import Origin, read_samples, render_report
from kfdet.evaluation.report.video import choose_stretch, write_video
from kfdet.evaluation.verdict import judge
from kfdet.files import (
    atomic_file,
    atomic_folder,
    hash_file,
    read_json_object,
    write_zip,
)
from kfdet.parameters import Gate


def evaluate(
    records: Path,
    saved_model: Path,
    training: Path,
    metrics: Path,
    report: Path,
    gallery: Path,
    gate: Gate,
    *,
    seed: int,
    command: str = "",
) -> bool:
    """Measure the exported model: what is served is what is measured.

    On the test side where the dataset has one, else on the validation side; on the boxes that a
    person drew.

    Args:
        records: Folder of the TFRecord build.
        saved_model: Folder of the export: version folder and model.json.
        training: Folder of the training, for history.json.
        metrics: metrics.json to write; `kfdet.evaluation.metrics.describe` names its keys.
        report: Self-contained HTML file to write.
        gallery: Folder to write: pictures.zip with false-positive-*.jpg, miss-*.jpg and
            typical-*.jpg, detections.png, and detections.mp4 where the validation split holds
            video.
        gate: What the model must reach for a good verdict.
        seed: Seed of the choice of typical frames.
        command: The command that made the run, for the report; "" where it is not known.

    Returns:
        The verdict.

    Raises:
        InputError: The gate is out of its limits, there are no validation records, or the model
            does not fit them.
    """
    gate.check()
    statistics = read_dataset(records)
    side = reported_side(records)
    run = run_model(records, load_detector(saved_model, statistics["labels"]), side)
    document, measurement = _measure(run, statistics, gate, side, seed)
    analysis = measurement.analysis
    with atomic_folder(gallery) as folder:
        shots, video = _write_gallery(folder, run, analysis, statistics, records, side, seed)
    html = render_report(
        document,
        analysis,
        statistics,
        _read_optional(training / "history.json"),
        _describe_model(saved_model, records),
        shots,
        read_samples(records, statistics),
        video,
        Origin(statistics.get("name", ""), command, datetime.now(UTC), kfdet.__version__),
    )
    with atomic_file(report) as path:
        path.write_text(html, encoding="utf-8")
    with atomic_file(metrics) as path:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    good: bool = document["verdict"]
    return good


def _measure(
    run: ModelRun, statistics: Mapping[str, Any], gate: Gate, side: str, seed: int
) -> tuple[dict[str, Any], Measurement]:
    """The content of metrics.json, with the verdict, and what it was made from."""
    labels = statistics["labels"]
    started = time.perf_counter()
    measurement = measure(
        run.truths, run.detections, labels, _rates(statistics), side=side, seed=seed
    )
    seconds = time.perf_counter() - started
    analysis = measurement.analysis
    verdict = judge(
        gate,
        ap50=measurement.coco.ap50,
        recall=analysis.recall,
        false_positives_per_background_image=analysis.false_positives_per_background_image,
        truth=measurement.truth,
    )
    document = describe(labels, statistics["split"], measurement, run.speed, seconds, gate, verdict)
    return document, measurement


def _rates(statistics: Mapping[str, Any]) -> dict[str, float]:
    """Frames per second of every video."""
    return {s["name"]: float(s["fps"]) for s in statistics["sources"] if s["kind"] == "video"}


def _write_gallery(
    folder: Path,
    run: ModelRun,
    analysis: ErrorAnalysis,
    statistics: Mapping[str, Any],
    records: Path,
    side: str,
    seed: int,
) -> tuple[dict[str, list[Shot]], bytes | None]:
    """Draw detections on chosen pictures and on a stretch of video.

    Returns:
        The pictures by kind, and the video as MP4; None where the validation split holds none.
    """
    truths, detections, labels = run.truths, run.detections, statistics["labels"]
    selection = select(truths, detections, analysis, seed)
    images = dict(read_images(records, [truths[i].source_id for i in selection.images()], side))
    drawing = (images, truths, detections, labels, analysis.threshold)
    shots = make_shots(selection, *drawing)
    jpegs = {shot.name: shot.jpeg for group in shots.values() for shot in group}
    write_zip(folder / "pictures.zip", jpegs)
    if selection.typical:
        (folder / "detections.png").write_bytes(contact_sheet(selection, *drawing))
    rates = _rates(statistics)
    stretch = choose_stretch(truths, rates)
    if not stretch:
        return shots, None
    write_video(
        folder / "detections.mp4",
        read_images(records, [truths[i].source_id for i in stretch], side),
        stretch,
        truths,
        detections,
        labels,
        analysis.threshold,
        rates[truths[stretch[0]].video],
    )
    return shots, (folder / "detections.mp4").read_bytes()


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _describe_model(saved_model: Path, records: Path) -> dict[str, Any]:
    """model.json, and hashes of the model and of the index of what it was measured on."""
    description = _read_optional(saved_model / "model.json")
    described = {
        name: value for name, value in description.items() if name not in ("labels", "records")
    }
    return {
        **described,
        "SHA-256 of saved_model.pb": hash_file(find_saved_model(saved_model) / "saved_model.pb"),
        "SHA-256 of the examples": hash_file(records / "examples.parquet"),
    }
