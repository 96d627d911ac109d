"""The files that kfdet wrote and reads again, with something wrong in them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from support import blob_detector as blobs
from support import run_files
from support.mutations import mutated

from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.console.summary import print_metrics, print_sweep
from kfdet.deployment.deploy import read_figures
from kfdet.detection.saved_model import read_model_json
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError
from kfdet.evaluation.ground_truth import frame_rates, read_ground_truth
from kfdet.evaluation.report.curves import training_charts
from kfdet.evaluation.report.page import read_samples
from kfdet.evaluation.report.timeline import shortest_gap_seconds, timelines
from kfdet.local.folder import Entry, read_entry
from kfdet.local.record import DatasetRecord, check_same_dataset
from kfdet.local.results import Run
from kfdet.parameters import Gate, ScoringSettings
from kfdet.planning.plan import (
    KEYS_FILE,
    PLAN_FILE,
    Plan,
    Source,
    Split,
    read_key_frames,
    read_plan,
    write_plan,
)
from kfdet.planning.sampling import select_frames
from kfdet.records.group import GROUP_FILE, Group, read_group
from kfdet.records.reading import Records
from kfdet.records.tfrecord import read_label_map
from kfdet.scoring.engine import Outcome, read_outcome
from kfdet.scoring.plan import Failure, Item
from kfdet.scoring.plan import Plan as ScoringPlan
from kfdet.stages.evaluation import describe_model
from kfdet.training.history import History, read_history
from kfdet.training.model_folder import Description, read_description, read_experiment

TURNS = 40
SOURCE = Source("a.mp4", "video", "a.xml", 200, 100, 30, 10.0, 0, 29, 1, ((0, 9),), ((20, 29),))
PLAN = Plan("toys", ("mug",), (SOURCE,), Split("video", 0.2, 3.0, 0), (("a.mp4",),))
KEY = {
    **{"video": "a.mp4", "track_id": 1, "label": "mug", "frame": 3, "rotation": 0.0, "line": 1},
    **{"xmin": 1.0, "ymin": 2.0, "xmax": 30.0, "ymax": 40.0},
    **dict.fromkeys(("outside", "occluded", "difficult", "crowd"), False),
}
DESCRIPTION = Description("net", False, 96, 128, ("mug",), 9, 0, "sha", {}, {"parts": ["head"]})
EXPERIMENT = {"task": {"model": {"anchor": {"num_scales": 3, "aspect_ratios": [0.5, 1.0]}}}}
EXPERIMENT["task"]["model"]["anchor"]["anchor_size"] = 2.0
TRIAL = {"settings": {"steps": 20}, "AP50": 0.5, "AP": 0.3, "ms_per_image": 9.0}
TRIAL |= {"megabytes": 3.0, "minutes": 1.0, "difference": -0.1, "interval": [-0.2, 0.01]}
SWEEP = {"trials": [TRIAL], "chosen": {"steps": 20}, "reason": "It is the best."}
ARTIFACT = {"uri": "${RUN}/artifacts/a/records", "metadata": {}}
SCORING = ScoringPlan(
    *("in", "out", "model", ("mug",), ScoringSettings()),
    (Item("a.jpg", 9, "files/a.jpg.parquet", True),),
    (Failure("b.gif", "no"),),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder as far as its small files go; each is as its writer writes it."""
    folder = tmp_path_factory.mktemp("whole")
    blobs.write_blob_records(folder / "records")
    documents: dict[str, Any] = {
        "run.json": run_files.record(sweep={"grid": "steps=20"}),
        "metrics.json": run_files.metrics(),
        "sweep.json": SWEEP,
        "entry.json": asdict(Entry({"records": ARTIFACT, "chosen": 3}, 1.5, "2026-11-21")),
        f"index/{GROUP_FILE}": asdict(Group(0, "../shards")),
        "training/history.json": asdict(History(**blobs.HISTORY)),
        "training/model.json": asdict(DESCRIPTION),
        "training/experiment.yaml": EXPERIMENT,
        "model/model.json": asdict(DESCRIPTION),
        "scoring.json": asdict(SCORING),
        "outcome.json": asdict(Outcome(1, 0, 1, (Failure("b.gif", "no"),), 1.0, 0.0)),
    }
    for name, content in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    (folder / "plan").mkdir()
    write_plan(PLAN, folder / "plan")
    pq.write_table(pa.Table.from_pylist([KEY] * 3, KEY_SCHEMA), folder / "plan" / KEYS_FILE)
    (folder / "model" / "1").mkdir()
    (folder / "model" / "1" / "saved_model.pb").write_bytes(b"")
    return folder


def look_at(run: Run) -> None:
    """What the commands do with a finished run."""
    console = Console(file=StringIO())
    repr(run), run.computed, run.verdict
    sum(stage["seconds"] for stage in run.record["stages"])
    print_metrics(console, run.metrics)
    Thresholds.from_metrics(run.metrics).to_json()
    if run.sweep:
        print_sweep(console, run.sweep)
    check_same_dataset(DatasetRecord("videos", "1", "2"), run.record, run.folder)
    given = {k: run.record["parameters"].get(k, v) for k, v in vars(Gate()).items()}
    with suppress(InputError):  # names the parameter
        Gate(**given).check()


def look_at_records(folder: Path) -> None:
    """What an evaluation does with records."""
    records = Records(folder)
    statistics = records.description
    truths = read_ground_truth(records, records.measured_side)
    for truth in truths:
        [records.labels[number - 1] for number in truth.classes]
        truth.to_source(truth.boxes), truth.counted
    list(records.pictures(truth.source_id for truth in truths[:3]))
    frame_rates(statistics), timelines(statistics), shortest_gap_seconds(statistics)
    read_samples(records)
    read_label_map(folder / "label_map.pbtxt")


def look_at_plan(folder: Path) -> None:
    """What the stages of a group do with a plan."""
    plan = read_plan(folder)
    for number in range(len(plan.groups)):
        sources = plan.group(number)
        keys = read_key_frames(folder, sources)
        for each in sources:
            select_frames(each, keys.get(each.name, np.zeros(0, np.int64)), 10.0, 1)


def look_at_training(folder: Path) -> None:
    """What evaluation and export do with the folder that training wrote."""
    history = read_history(folder)
    history.best(), history.validations_without_gain(), history.truncate(20)
    training_charts(asdict(history), 20)
    read_description(folder)
    read_experiment(folder)


READERS: dict[str, Callable[[Path], object]] = {
    "run.json": lambda run: look_at(Run.load(run)),
    "metrics.json": lambda run: (look_at(Run.load(run)), read_figures(run / "metrics.json")),
    "sweep.json": lambda run: look_at(Run.load(run)),
    "entry.json": lambda run: read_entry(run / "entry.json"),
    f"index/{GROUP_FILE}": lambda run: read_group(run / "index"),
    "training/history.json": lambda run: look_at_training(run / "training"),
    "training/model.json": lambda run: look_at_training(run / "training"),
    "training/experiment.yaml": lambda run: look_at_training(run / "training"),
    "model/model.json": lambda run: (read_model_json(run / "model"), describe_model(run / "model")),
    "scoring.json": lambda run: ScoringPlan.read(run / "scoring.json"),
    "outcome.json": lambda run: read_outcome(run / "outcome.json"),
    f"plan/{PLAN_FILE}": lambda run: look_at_plan(run / "plan"),
    f"plan/{KEYS_FILE}": lambda run: look_at_plan(run / "plan"),
    "records/dataset.json": lambda run: look_at_records(run / "records"),
    "records/label_map.pbtxt": lambda run: look_at_records(run / "records"),
    "records/samples.zip": lambda run: look_at_records(run / "records"),
    "records/examples.parquet": lambda run: look_at_records(run / "records"),
    "records/objects.parquet": lambda run: look_at_records(run / "records"),
    "records/shards.parquet": lambda run: look_at_records(run / "records"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_not_as_it_was_written(run: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / name
    content = path.read_bytes()
    READERS[name](tmp_path / "run")
    for turn in range(TURNS):
        rng = random.Random(f"{name} {turn}")
        path.write_bytes(mutated(content, rng, json_text=path.suffix in (".json", ".yaml")))
        error = _refusal(READERS[name], tmp_path / "run")
        assert error is None or (str(path.parent) in str(error) and error.hint), turn


def _refusal(read: Callable[[Path], object], run: Path) -> InputError | None:
    try:
        read(run)
    except InputError as error:
        return error
    return None
