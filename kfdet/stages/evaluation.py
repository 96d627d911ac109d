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
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.error_analysis import ErrorAnalysis, analyse
from kfdet.evaluation.ground_truth import read_dataset, read_images
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
    """Measure the exported model on the validation split: what is served is what is measured.

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
    run = run_model(records, load_detector(saved_model, statistics["labels"]))
    document, analysis = _measure(run, statistics, gate)
    with atomic_folder(gallery) as folder:
        shots, video = _write_gallery(folder, run, analysis, statistics, records, seed)
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
    run: ModelRun, statistics: Mapping[str, Any], gate: Gate
) -> tuple[dict[str, Any], ErrorAnalysis]:
    """The content of metrics.json, with the verdict, and the errors of the model."""
    labels = statistics["labels"]
    started = time.perf_counter()
    coco = evaluate_coco(run.truths, run.detections, labels)
    analysis = analyse(run.truths, run.detections, labels)
    seconds = time.perf_counter() - started
    verdict = judge(
        gate,
        ap50=coco.ap50,
        recall=analysis.recall,
        false_positives_per_background_image=analysis.false_positives_per_background_image,
    )
    document = describe(
        labels, statistics["split"], coco, analysis, run.speed, seconds, gate, verdict
    )
    return document, analysis


def _write_gallery(
    folder: Path,
    run: ModelRun,
    analysis: ErrorAnalysis,
    statistics: Mapping[str, Any],
    records: Path,
    seed: int,
) -> tuple[dict[str, list[Shot]], bytes | None]:
    """Draw detections on chosen pictures and on a stretch of video.

    Returns:
        The pictures by kind, and the video as MP4; None where the validation split holds none.
    """
    truths, detections, labels = run.truths, run.detections, statistics["labels"]
    selection = select(truths, detections, analysis, seed)
    images = dict(read_images(records, [truths[i].source_id for i in selection.images()]))
    drawing = (images, truths, detections, labels, analysis.threshold)
    shots = make_shots(selection, *drawing)
    jpegs = {shot.name: shot.jpeg for group in shots.values() for shot in group}
    write_zip(folder / "pictures.zip", jpegs)
    if selection.typical:
        (folder / "detections.png").write_bytes(contact_sheet(selection, *drawing))
    rates = {s["name"]: float(s["fps"]) for s in statistics["sources"] if s["kind"] == "video"}
    stretch = choose_stretch(truths, rates)
    if not stretch:
        return shots, None
    write_video(
        folder / "detections.mp4",
        read_images(records, [truths[i].source_id for i in stretch]),
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
