"""Any model, or its detections in a file, on any dataset."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support import blob_detector as blobs
from support import run_files
from support.blob_dataset import right_results, write_blob_dataset

import kfdet
from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.events import listening
from kfdet.local.evaluation import EvaluationSettings, evaluate
from kfdet.local.record import DatasetRecord
from kfdet.parameters import DatasetSettings, Gate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.save_blob_model(tmp_path_factory.mktemp("blobs") / "model")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blob_dataset(tmp_path_factory.mktemp("data") / "toys")


def write_results(folder: Path, content: Any) -> str:
    path = folder / "results.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_all_of_a_dataset(model: Path, dataset: Path, tmp_path: Path) -> None:
    before = set(dataset.rglob("*"))
    metrics = kfdet.evaluate(model, dataset, tmp_path / "out", show_progress=False)
    assert metrics["AP50"] == pytest.approx(1.0)
    assert metrics["split"]["strategy"] == "whole"
    assert metrics["split"]["val_frames"] == 12
    assert metrics["per_video"]["images"]["boxes"] == 24
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metrics.json",
        "report.html",
    ]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["AP50"] == metrics["AP50"]
    assert "Nothing was trained here" in (tmp_path / "out" / "report.html").read_text()
    assert set(dataset.rglob("*")) == before


def test_the_side_that_the_user_names(model: Path, dataset: Path) -> None:
    settings = EvaluationSettings(DatasetSettings(test="0[0-3]*"))
    assert evaluate(str(model), str(dataset), None, settings)["split"]["val_frames"] == 4


@pytest.mark.parametrize(
    ("settings", "own", "warned"),
    [
        (EvaluationSettings(), True, True),
        (EvaluationSettings(DatasetSettings(test="0[0-3]*")), True, False),
        (EvaluationSettings(), False, False),
    ],
)
def test_all_of_what_a_run_was_trained_on(
    settings: EvaluationSettings,
    own: bool,
    warned: bool,
    model: Path,
    dataset: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "a run"
    shutil.copytree(model, run / "model")
    known = {"dataset": asdict(DatasetRecord.of(str(dataset)))} if own else {}
    (run / "run.json").write_text(json.dumps(run_files.record(**known)))
    said: list[str] = []
    with listening(lambda event: said.append(event.get("message", ""))):
        evaluate(str(run), str(dataset), None, settings)
    assert any(f"`kfdet evaluate '{run}'`" in message for message in said) == warned


def test_results_of_another_detector(dataset: Path, tmp_path: Path) -> None:
    metrics = evaluate(write_results(tmp_path, right_results()), str(dataset))
    assert metrics["AP50"] == metrics["AP"] == pytest.approx(1.0)
    assert metrics["speed"] is None
    half = [row for row in right_results() if row["category_id"] == 11]
    metrics = evaluate(write_results(tmp_path, half), str(dataset), tmp_path / "out")
    assert metrics["per_class"]["green"]["AP50"] == 0
    assert metrics["per_class"]["red"]["AP50"] == pytest.approx(1.0)
    assert 'id="speed"' not in (tmp_path / "out" / "report.html").read_text()


def test_two_models(model: Path, dataset: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path, right_results()[::2])
    settings = EvaluationSettings(gate=Gate(against=results, promote="better"))
    metrics = evaluate(str(model), str(dataset), tmp_path / "out", settings)
    assert metrics["comparison"]["AP50"] == pytest.approx(1.0)
    assert metrics["comparison"]["difference"] > 0.4
    low, high = metrics["comparison"]["interval"]
    assert 0 < low <= metrics["comparison"]["difference"] <= high
    assert "Promoted" in metrics["verdict_reasons"][-1]
    assert metrics["verdict_reasons"][-1] in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "holds no detection"),
        ([{"image_id": 70}], "entry 0 is not a COCO result: it has no 'category_id'."),
        (right_results(image_id="beach.jpg"), "other pictures: the dataset has no 'beach.jpg'"),
        (right_results(category_id=99), "other labels: 99; the dataset has green, red"),
        ({"images": []}, "it lacks 'categories'"),
    ],
)
def test_a_results_file_that_does_not_fit(
    change: Any, words: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfdet.local.evaluation.extract_group", None)  # nothing slow before
    with pytest.raises(InputError, match=words):
        evaluate(write_results(tmp_path, change), str(dataset), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_instead_of_ids(dataset: Path, tmp_path: Path) -> None:
    rows = [
        {**row, "image_id": f"{int(row['image_id']) - 70:02d}", "category_id": label}
        for row in right_results()
        for label in [blobs.LABELS[int(row["category_id"]) - 11]]
    ]
    assert evaluate(write_results(tmp_path, rows), str(dataset))["AP50"] == pytest.approx(1.0)


def test_bad_input_ends_with_status_2(
    model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = blobs.save_blob_model(tmp_path / "other", ["cat", "dog", "cow"])
    empty = tmp_path / "empty"
    (empty / "images").mkdir(parents=True)
    (empty / "images" / "a.jpg").write_bytes(blobs.draw([], 0))
    for arguments, words in (
        (["no-such-model", dataset], "does not exist"),
        ([model, tmp_path / "nothing"], "nothing"),
        ([model, empty], "no box"),
        ([model, dataset, "--against", other], "knows none of the labels green, red"),
        ([other, dataset], "knows none of the labels"),
        ([model], "a dataset is needed"),
    ):
        assert main(["evaluate", *map(str, arguments)]) == 2, arguments
        error = capsys.readouterr().err
        assert words in error
        assert error.count("error:") == 1
