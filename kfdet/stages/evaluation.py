"""Evaluation stage: exported model and records in; metrics, report, gallery and verdict out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfdet
from kfdet.deployment.publish import describe_version
from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model, read_model_json
from kfdet.detection.tflite import find_tflite
from kfdet.evaluation.by_video import by_video
from kfdet.evaluation.comparison import compare, decide
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.metrics import describe
from kfdet.evaluation.model_run import (
    ModelRun,
    Results,
    load_detector,
    load_other,
    run_model,
    run_results,
)
from kfdet.evaluation.report.gallery import Shot, make_shots
from kfdet.evaluation.report.page import Origin, read_samples, render_report
from kfdet.evaluation.report.pictures import contact_sheet
from kfdet.evaluation.report.selection import select
from kfdet.evaluation.report.video import choose_stretch, write_video
from kfdet.evaluation.tflite import compare_tflite
from kfdet.evaluation.verdict import judge
from kfdet.files import atomic_file, atomic_folder, hash_file, write_zip
from kfdet.parameters import Gate
from kfdet.records.reading import Records
from kfdet.records.tables import EXAMPLES_FILE
from kfdet.storage.copies import local_model
from kfdet.storage.shards import KEPT_BYTES, open_records
from kfdet.training.history import HISTORY_FILE, read_history


def evaluate(
    records: Path,
    saved_model: Path,
    training: Path,
    metrics: Path,
    report: Path,
    gallery: Path,
    gate: Gate,
    *,
    tflite: Path | None = None,
    rival: str = "",
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
        gallery: Folder to write: pictures.zip with false-positive-*.jpg, miss-*.jpg, typical-*.jpg
            and label-to-check-*.jpg, detections.png, and detections.mp4 where the split holds
            video.
        gate: What the model must reach for a good verdict.
        tflite: Folder of the export with the TFLite models; None: they are not measured.
        rival: Bucket URI of what an endpoint serves, to compare with where the gate names no other
            model; "": none.
        seed: Seed of the choice of typical frames.
        command: The command that made the run, for the report; "" where it is not known.

    Returns:
        The verdict.

    Raises:
        InputError: The gate is out of its limits, there are no validation records, or the model
            or the one to compare with does not fit them.
    """
    gate.check()
    with open_records(records, kept_bytes=KEPT_BYTES) as opened, ExitStack() as models:
        labels = opened.labels
        detector = models.enter_context(load_detector(saved_model, labels))
        other = None
        name = gate.against or (describe_version(rival) if rival else "")
        if name:
            path = models.enter_context(local_model(gate.against or rival))
            # not better than itself: a run that is repeated finds its own model there
            if gate.against or _graph_hash(path) != _graph_hash(saved_model):
                other = models.enter_context(load_other(path, labels, name))
        document = write_evaluation(
            opened,
            Subject(detector, describe_model(saved_model), detector.labels),
            metrics,
            report,
            gallery,
            gate,
            seed=seed,
            command=command,
            history=asdict(read_history(training)) if (training / HISTORY_FILE).is_file() else {},
            against=Subject(other, {}, other.labels, name) if other else None,
            tflite=tflite,
        )
    good: bool = document["verdict"]
    return good


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a model, or the detections that one left in a file.

    Args:
        answers: Either of them.
        description: Network, versions and hashes, for the report.
        labels: The labels that it knows; None where it does not tell.
        name: What to call it beside another one.
    """

    answers: Detector | Results
    description: Mapping[str, Any]
    labels: Sequence[str] | None
    name: str = ""

    def run(self, records: Records, side: str, *, timed: bool = True) -> ModelRun:
        """Its detections on every picture of a side, with its speed where that is `timed`."""
        if isinstance(self.answers, Results):
            return run_results(records, self.answers, side)
        return run_model(records, self.answers, side, timed=timed)


def write_evaluation(
    records: Records,
    subject: Subject,
    metrics: Path,
    report: Path,
    gallery: Path,
    gate: Gate,
    *,
    seed: int,
    command: str,
    history: Mapping[str, Any],
    against: Subject | None,
    tflite: Path | None = None,
) -> dict[str, Any]:
    """Measure a model, or the detections of another detector, and write what `evaluate` writes.

    Args:
        records: The records.
        subject: What to measure.
        metrics: File to write.
        report: File to write.
        gallery: Folder to write.
        gate: What must be reached for a good verdict.
        seed: Seed of the choice of typical frames.
        command: For the report.
        history: history.json of the training, {} where it is not known.
        against: What to compare it with; None: nothing.
        tflite: Folder with the TFLite models that were made of it; None: there are none.

    Returns:
        The content of metrics.json.
    """
    statistics = records.description
    side, labels = records.measured_side, statistics["labels"]
    rates = frame_rates(statistics)
    run = subject.run(records, side)
    started = time.perf_counter()
    measurement = measure(run.truths, run.detections, labels, rates, side=side, seed=seed)
    seconds = time.perf_counter() - started
    analysis = measurement.analysis
    verdict = judge(
        gate,
        ap50=measurement.coco.ap50,
        recall=analysis.recall,
        false_positives_per_background_image=analysis.false_positives_per_background_image,
        truth=measurement.truth,
    )
    comparison = None
    if against:
        other = against.run(records, side, timed=False)
        comparison = compare(
            measurement,
            measure(other.truths, other.detections, labels, rates, side=side, seed=seed),
            labels,
            subject.labels,
            against.labels,
            against=against.name,
            seed=seed,
        )
        verdict = verdict.and_promoted(*decide(gate.promote, comparison))
    document = describe(
        labels,
        statistics["split"],
        measurement,
        run.speed,
        seconds,
        gate,
        verdict,
        by_video(run.truths, measurement, rates),
        comparison,
        compare_tflite(records, find_tflite(tflite), run, labels) if tflite else None,
    )
    with atomic_folder(gallery) as folder:
        shots, video = _write_gallery(folder, run, measurement, statistics, records, seed)
    html = render_report(
        document,
        analysis,
        statistics,
        history,
        {
            **subject.description,
            "SHA-256 of the examples": hash_file(records.folder / EXAMPLES_FILE),
        },
        shots,
        read_samples(records),
        video,
        Origin(statistics.get("name", ""), command, datetime.now(UTC), kfdet.__version__),
        str(comparison) if comparison else "",
    )
    with atomic_file(report) as path:
        path.write_text(html, encoding="utf-8")
    with atomic_file(metrics) as path:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    return document


def _write_gallery(
    folder: Path,
    run: ModelRun,
    measurement: Measurement,
    statistics: Mapping[str, Any],
    records: Records,
    seed: int,
) -> tuple[dict[str, list[Shot]], bytes | None]:
    """Draw detections on chosen pictures and on a stretch of video.

    Returns:
        The pictures by kind, and the video as MP4; None where the validation split holds none.
    """
    truths, detections, labels = run.truths, run.detections, statistics["labels"]
    analysis = measurement.analysis
    selection = select(truths, detections, analysis, seed, measurement.labels_to_check)
    images = dict(records.pictures(truths[i].source_id for i in selection.images()))
    drawing = (images, truths, detections, labels, analysis.threshold)
    shots = make_shots(selection, *drawing)
    jpegs = {shot.name: shot.jpeg for group in shots.values() for shot in group}
    write_zip(folder / "pictures.zip", jpegs)
    if selection.typical:
        (folder / "detections.png").write_bytes(contact_sheet(selection, *drawing))
    rates = frame_rates(statistics)
    stretch = choose_stretch(truths, rates)
    if not stretch:
        return shots, None
    write_video(
        folder / "detections.mp4",
        records.pictures(truths[i].source_id for i in stretch),
        stretch,
        truths,
        detections,
        labels,
        analysis.threshold,
        rates[truths[stretch[0]].video],
    )
    return shots, (folder / "detections.mp4").read_bytes()


def describe_model(model: str | Path) -> dict[str, Any]:
    """Network, input size, versions and hash of a model, as far as they are known, for a report.

    Args:
        model: A folder that `find_saved_model` takes, a file, or an address.
    """
    path = Path(model)
    if not path.is_dir():
        known = {"SHA-256 of the file": hash_file(path)} if path.is_file() else {}
        return {"model": str(model), **known}
    saved_model = find_saved_model(path)
    described = read_model_json(saved_model.parent)
    hidden = ("labels", "records", "thresholds")
    if start := described.get("start"):
        described["start"] = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in start.items()
            if value
        }
    return {
        **{name: value for name, value in described.items() if name not in hidden},
        "SHA-256 of saved_model.pb": _graph_hash(path),
    }


def _graph_hash(model: str | Path) -> str:
    """The hash of a SavedModel's graph, which holds the weights."""
    return hash_file(find_saved_model(Path(model)) / "saved_model.pb")
