"""`kfdet evaluate`: measure any model on any dataset, in this process and a temporary folder."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kfdet.dataset.loading import AS_IT_IS, Dataset
from kfdet.detection import Detector
from kfdet.errors import InputError
from kfdet.evaluation.comparison import common_labels
from kfdet.evaluation.metrics_file import read_metrics
from kfdet.evaluation.model_run import Results
from kfdet.evaluation.results_file import read_ids, read_results
from kfdet.events import warn
from kfdet.local.record import DatasetRecord, read_record
from kfdet.local.results import Run, own_history, own_records, run_of
from kfdet.parameters import (
    BoxSettings,
    DatasetSettings,
    FrameSettings,
    Gate,
    Parameters,
    SamplingSettings,
)
from kfdet.planning.plan import KEYS_FILE, write_plan
from kfdet.planning.planner import plan_measurement
from kfdet.records.negatives import NEGATIVE_SCHEMA
from kfdet.records.reading import Records
from kfdet.stages.evaluation import Subject, describe_model, write_evaluation
from kfdet.stages.evaluation import evaluate as evaluate_stage
from kfdet.stages.frame_extraction import extract_group
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.planning import load_checked
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.storage.copies import local_dataset, local_model
from kfdet.storage.shards import open_records
from kfdet.training.history import HISTORY_FILE

RESULTS_SUFFIX = ".json"
"""Of a file that holds detections instead of a model."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How a dataset is measured.

    Args:
        choice: What of it is used.
        sampling: Which frames.
        gate: For the verdict; `against` names the model to compare with.
        seed: Seed of the bootstrap and of the choice of pictures.
    """

    choice: DatasetSettings = AS_IT_IS
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    gate: Gate = field(default_factory=Gate)
    seed: int = 0

    @classmethod
    def of(cls, parameters: Parameters) -> EvaluationSettings:
        """The parameters of a run that matter here."""
        return cls(
            parameters.part(DatasetSettings),
            parameters.part(SamplingSettings),
            parameters.part(Gate),
            parameters.seed,
        )


DEFAULT_SETTINGS = EvaluationSettings()


def evaluate(
    model: str,
    dataset: str = "",
    output: Path | None = None,
    settings: EvaluationSettings = DEFAULT_SETTINGS,
    *,
    command: str = "",
) -> dict[str, Any]:
    """Measure a model, or another detector's detections, on a dataset.

    Args:
        model: As for `local_model`, or a COCO results file (`kfdet.evaluation.results_file`).
        dataset: A folder or bucket URI. Its test side is measured where it states one, else its
            validation side, else all of it. "": what the run `model` was measured on, which gives
            the run's own numbers.
        output: Folder for report.html and metrics.json; None: nothing is written.
        settings: How.
        command: For the report.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: There is no such model or dataset, or they do not fit each other.
    """
    settings.gate.check()
    settings.sampling.check()
    check_output(output)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kfdet-evaluate-")))
        if dataset:
            document = _on_dataset(model, dataset, scratch, settings, command, stack)
        else:
            document = _on_own_records(model, scratch, settings, command)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            for name in ("metrics.json", "report.html"):
                shutil.copyfile(scratch / name, output / name)
    return document


def check_output(output: Path | None) -> None:
    """Refuse a place for the report that is something else.

    Raises:
        InputError: It is a file, or a run's folder.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise InputError("is a file.", file=output, hint="Choose a folder.")
    if output is not None and run_of(output):
        raise InputError(
            "is the folder of a run, whose report would be lost.",
            file=output,
            hint="Choose another folder.",
        )


def _on_own_records(
    model: str, scratch: Path, settings: EvaluationSettings, command: str
) -> dict[str, Any]:
    """Measure a run's model on the run's own records, as the run did."""
    folder = run_of(Path(model))
    if folder is None:
        raise InputError(
            "is not the folder of a finished run, so that a dataset is needed.",
            file=model,
            hint="kfdet evaluate MODEL DATASET",
        )
    parameters = Run.load(folder).record["parameters"]
    training = scratch / "training"
    training.mkdir()
    if history := own_history(folder):
        (training / HISTORY_FILE).write_bytes(history)
    own = Gate(**{name: parameters.get(name, value) for name, value in vars(Gate()).items()})
    gate = replace(own, against=settings.gate.against, promote=settings.gate.promote)
    evaluate_stage(
        own_records(folder),
        folder / "model",
        training,
        scratch / "metrics.json",
        scratch / "report.html",
        scratch / "gallery",
        gate,
        seed=parameters["seed"],
        command=command,
    )
    return read_metrics(scratch / "metrics.json")


def _on_dataset(
    model: str,
    dataset: str,
    scratch: Path,
    settings: EvaluationSettings,
    command: str,
    stack: ExitStack,
) -> dict[str, Any]:
    """Measure on a dataset; what cannot fit is refused before any frame is extracted."""
    names = [model, *([settings.gate.against] if settings.gate.against else [])]
    detectors = {name: _detector(name, stack) for name in names if not _is_results(name)}
    folder = stack.enter_context(local_dataset(dataset))
    data = load_checked(folder, dataset, settings.choice)
    plan = scratch / "plan"
    plan.mkdir()
    planned, keys = plan_measurement(data, settings.sampling)
    write_plan(planned, plan)
    pq.write_table(keys, plan / KEYS_FILE)
    subjects = []
    for name in names:
        if not planned.split.sides_from:
            _check_unseen(name, dataset)
        if name in detectors:
            answers: Detector | Results = detectors[name]
            _check_labels(name, detectors[name].labels, data.labels)
        else:
            answers = _read_results(name, folder, data)
        subjects.append(Subject(answers, describe_model(name), answers.labels, name))
    records = stack.enter_context(_build_records(str(folder), plan, scratch, settings))
    return write_evaluation(
        records,
        subjects[0],
        scratch / "metrics.json",
        scratch / "report.html",
        scratch / "gallery",
        settings.gate,
        seed=settings.seed,
        command=command,
        history={},
        against=subjects[1] if len(subjects) > 1 else None,
    )


def _is_results(name: str) -> bool:
    return name.endswith(RESULTS_SUFFIX) and "://" not in name


def _detector(name: str, stack: ExitStack) -> Detector:
    path = stack.enter_context(local_model(name))
    return stack.enter_context(Detector.load(path, threshold=0.0))


def _check_labels(name: str, known: Sequence[str] | None, labels: Sequence[str]) -> None:
    """Refuse a model that knows none of the labels; say which ones it does not know."""
    common = common_labels(labels, known, name)
    unknown = [label for label in labels if label not in common]
    if unknown:
        warn(
            f"{name} does not know {', '.join(unknown)}: their objects count as missed. "
            f"--labels {','.join(common)} leaves them out."
        )


def _check_unseen(name: str, dataset: str) -> None:
    """Warn of a run that is measured on all of its own dataset."""
    folder = run_of(Path(name))
    if folder is None:
        return
    record, measured = read_record(folder), DatasetRecord.of(dataset)
    own = record["dataset"] if record else {}
    if own.get("path") == measured.path or own.get("content") == measured.content:
        warn(
            f"{name} was trained on part of this dataset, and all of it is measured: the figures "
            f"are better than the model. `kfdet evaluate {shlex.quote(name)}`, without a dataset, "
            "measures it on what training never saw."
        )


def _read_results(name: str, folder: Path, data: Dataset) -> Results:
    files = sorted({item.annotation for item in data.items if item.annotation.endswith(".json")})
    return read_results(
        Path(name),
        read_ids([folder / file for file in files]),
        data.labels,
        [item.name for item in data.items if item.kind == "image"],
        [item.name for item in data.items if item.kind == "video"],
    )


def _build_records(
    dataset: str, plan: Path, scratch: Path, settings: EvaluationSettings
) -> Records:
    """Frames, boxes and records of the only group of a plan, as a run makes them."""
    boxes, negatives, shards, index, records = (
        scratch / name for name in ("boxes", "negatives", "shards", "index", "records")
    )
    interpolate_group(dataset, plan, 0, boxes, BoxSettings())
    pq.write_table(NEGATIVE_SCHEMA.empty_table(), negatives)
    extract_group(
        *(dataset, plan, 0, boxes, negatives, shards, index),
        settings.sampling,
        FrameSettings(),
    )
    build_tfrecords(dataset, plan, [index], records, scratch / "all_boxes")
    return open_records(records)
