"""Evaluation stage: exported model and records in; metrics, report, gallery and verdict out."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kfdet
from kfdet.files import (
    atomic_file,
    atomic_folder,
    hash_file,
    hash_folder,
    read_json_object,
    write_zip,
)

if TYPE_CHECKING:
    from kfdet.evaluation.error_analysis import ErrorAnalysis
    from kfdet.evaluation.model_run import ModelRun
    from kfdet.evaluation.report.gallery import Shot


def evaluate(
    records: str,
    saved_model: str,
    training: str,
    metrics: str,
    report: str,
    gallery: str,
    *,
    min_ap50: float = 0.5,
    min_ap: float = 0.0,
    min_recall: float = 0.0,
    max_false_positives: float = 0.0,
    seed: int = 0,
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
        min_ap50: Least AP50 for a good verdict; 0 is not checked, here and below.
        min_ap: Least AP.
        min_recall: Least recall at the recommended threshold.
        max_false_positives: Most false detections per frame without objects.
        seed: Chooses the typical frames.
        command: The command that made the run, for the report; "" where it is not known.

    Returns:
        The verdict.

    Raises:
        InputError: There are no validation records, or the model does not fit to them.
    """
    from kfdet.evaluation.coco import evaluate_coco
    from kfdet.evaluation.error_analysis import analyse
    from kfdet.evaluation.ground_truth import read_dataset
    from kfdet.evaluation.metrics import describe
    from kfdet.evaluation.model_run import load_detector, run_model
    from kfdet.evaluation.report.page import Origin, read_samples, render_report
    from kfdet.evaluation.verdict import Gate, judge

    folder = Path(records)
    statistics = read_dataset(folder)
    labels: list[str] = statistics["labels"]
    run = run_model(folder, load_detector(Path(saved_model), labels))

    started = time.perf_counter()
    coco = evaluate_coco(run.truths, run.detections, labels)
    analysis = analyse(run.truths, run.detections, labels)
    evaluator_seconds = time.perf_counter() - started
    gate = Gate(min_ap50, min_ap, min_recall, max_false_positives)
    verdict = judge(
        gate,
        ap50=coco.ap50,
        ap=coco.ap,
        recall=analysis.recall,
        false_positives_per_background_image=analysis.false_positives_per_background_image,
    )
    document = describe(
        labels, statistics["split"], coco, analysis, run.speed, evaluator_seconds, gate, verdict
    )

    shots, video = _write_gallery(Path(gallery), folder, statistics, run, analysis, seed)
    html = render_report(
        document,
        analysis,
        statistics,
        _read_optional(Path(training) / "history.json"),
        _describe_model(Path(saved_model), folder),
        shots,
        read_samples(folder, statistics),
        video,
        Origin(statistics.get("name", ""), command, datetime.now(UTC), kfdet.__version__),
    )
    with atomic_file(Path(report)) as path:
        path.write_text(html, encoding="utf-8")
    with atomic_file(Path(metrics)) as path:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    return verdict.good


def _write_gallery(
    gallery: Path,
    records: Path,
    statistics: dict[str, Any],
    run: ModelRun,
    analysis: ErrorAnalysis,
    seed: int,
) -> tuple[dict[str, list[Shot]], bytes | None]:
    """Draw the detections into the folder `gallery`.

    Returns:
        The pictures as in `kfdet.evaluation.report.gallery.make_shots`, and the video, if any.
    """
    from kfdet.evaluation.ground_truth import read_images
    from kfdet.evaluation.report.gallery import contact_sheet, make_shots, select
    from kfdet.evaluation.report.video import choose_stretch, write_video

    truths, detections, labels = run.truths, run.detections, statistics["labels"]
    selection = select(truths, detections, analysis, seed)
    images = dict(read_images(records, [truths[i].source_id for i in selection.images()]))
    drawing = (images, truths, detections, labels, analysis.threshold)
    shots = make_shots(selection, *drawing)
    rates = {s["name"]: float(s["fps"]) for s in statistics["sources"] if s["kind"] == "video"}
    stretch = choose_stretch(truths, rates)
    video = None
    with atomic_folder(gallery) as folder:
        named = {shot.name: shot.jpeg for group in shots.values() for shot in group}
        write_zip(folder / "pictures.zip", named)
        if selection.typical:
            (folder / "detections.png").write_bytes(contact_sheet(selection, *drawing))
        if stretch:
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
            video = (folder / "detections.mp4").read_bytes()
    return shots, video


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
        "SHA-256 of the model": hash_folder(saved_model),
        "SHA-256 of the examples": hash_file(records / "examples.parquet"),
    }
