"""One whole run through the pipeline, and what the same command does again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.patience import wait_until
from support.stage_names import STAGES

from kfdet.boxes.tables import BOX_SCHEMA

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--every", "6", "--longest-side", "320", "--input-size", "128x192"),
    *("--steps", "12", "--batch-size", "4", "--pretrained", "none"),
)


def stages(run: Path) -> dict[str, bool]:
    """Stage -> whether it was run anew."""
    record = json.loads((run / "run.json").read_text())
    return {stage["stage"]: stage["cached"] < stage["tasks"] for stage in record["stages"]}


@pytest.fixture(scope="module")
def dataset(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(sample, tmp_path_factory.mktemp("run") / "dataset")


@pytest.fixture(scope="module")
def run(dataset: Path, kfdet: Any, processes_of: Any) -> Path:
    """A finished run whose training was killed once on the way."""
    folder = dataset.parent / "a run of python3 (é)"  # kfp's runner would mangle this name
    command = [sys.executable, "-m", "kfdet", "run", str(dataset), "-o", str(folder), *OPTIONS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        wait_until(lambda: any((folder / "checkpoints").rglob("*")), killed)
        killed.kill()
    wait_until(lambda: not processes_of(folder))
    done = kfdet("run", dataset, "-o", folder, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_killed_run_leaves_no_process_and_continues(run: Path) -> None:
    assert stages(run) == {
        "fingerprint": False,
        "planning": False,
        "interpolation": False,
        "frame_extraction": False,
        "negative_mining": False,
        "tfrecord_build": False,
        "training": True,
        "export": True,
        "evaluation": True,
    }


@pytest.mark.parametrize(
    "name",
    [
        "report.html",
        "metrics.json",
        "boxes.parquet",
        "label_map.pbtxt",
        "model/1/saved_model.pb",
        "model.tflite",
        "model.zip",
        "tensorboard",
        "checkpoints",
        "artifacts",
        "run.json",
    ],
)
def test_every_output_has_its_fixed_name(name: str, run: Path) -> None:
    path = run / name
    assert any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0


def test_metrics_have_their_keys(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    wanted = {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100", "per_class"}
    wanted |= {"split", "false_positives_per_background_image", "verdict"}
    assert wanted <= set(metrics)
    assert {"strategy", "train_frames", "val_frames"} <= set(metrics["split"])
    labels = set(pq.read_table(run / "boxes.parquet")["label"].unique().to_pylist())
    assert set(metrics["per_class"]) == labels
    for values in metrics["per_class"].values():
        assert {"AP", "AP50", "precision", "recall"} <= set(values)


def test_boxes_are_in_the_schema(run: Path) -> None:
    table = pq.read_table(run / "boxes.parquet")
    assert table.schema.equals(BOX_SCHEMA)
    assert table.num_rows > 0


def test_the_record_says_how_the_run_was_made(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["parameters"]["every"] == 6
    assert {"kfdet", "kfp", "tensorflow", "tf-models-official", "python"} <= set(record["versions"])
    assert sorted(stage["stage"] for stage in record["stages"]) == sorted(STAGES)
    assert set(record["outputs"]) >= {"metrics.json", "model/1/saved_model.pb", "model.zip"}
    assert isinstance(record["verdict"], bool)


def test_the_zip_holds_the_model(run: Path) -> None:
    with zipfile.ZipFile(run / "model.zip") as archive:
        assert archive.testzip() is None
        assert any(name.endswith("saved_model.pb") for name in archive.namelist())


def test_a_stage_writes_few_files(run: Path) -> None:
    """A cluster copies them one by one."""
    for entry in (run / "artifacts" / ".cache").rglob("*.json"):
        outputs = json.loads(entry.read_text()).values()
        uris = [Path(o["uri"]) for o in outputs if isinstance(o, dict) and "uri" in o]
        files = [path for uri in uris for path in (uri, *uri.rglob("*")) if path.is_file()]
        assert len(uris) <= len(files) <= 20, uris


def test_the_same_command_again_redoes_nothing(run: Path, dataset: Path, kfdet: Any) -> None:
    model = (run / "model" / "1" / "saved_model.pb").read_bytes()
    done = kfdet("run", dataset, "-o", run, *OPTIONS, "--json")
    assert done.returncode == 0, done.stderr
    assert not any(stages(run).values())
    assert json.loads(done.stdout)["metrics"]["AP50"] is not None
    assert (run / "model" / "1" / "saved_model.pb").read_bytes() == model


def test_another_gate_redoes_only_the_evaluation(run: Path, dataset: Path, kfdet: Any) -> None:
    done = kfdet("run", dataset, "-o", run, *OPTIONS, "--min-ap50", "1")
    assert done.returncode == 0, done.stderr
    assert [stage for stage, anew in stages(run).items() if anew] == ["evaluation"]
    assert "not good enough" in done.stdout
    assert len(list((run / "artifacts" / ".cache").rglob("*.json"))) == sum(
        stage["tasks"] for stage in json.loads((run / "run.json").read_text())["stages"]
    )


def test_a_changed_dataset_is_planned_again(run: Path, dataset: Path, kfdet: Any) -> None:
    (bad := dataset / "annotations" / "new.xml").write_text("<annotations>")
    done = kfdet("run", dataset, "-o", run, *OPTIONS)
    bad.unlink()
    assert done.returncode == 2
    assert "new.xml" in done.stderr
    done = kfdet("run", dataset, "-o", run, *OPTIONS, "--min-ap50", "1")
    assert done.returncode == 0, done.stderr
    assert not any(stages(run).values())


def test_an_evaluation_gives_the_numbers_of_the_run(run: Path, kfdet: Any) -> None:
    done = kfdet("evaluate", run, "--json")
    assert done.returncode == 0, done.stderr
    found, own = json.loads(done.stdout), json.loads((run / "metrics.json").read_text())
    for each in (found, own):
        del each["speed"], each["tflite"]
    assert found == own
