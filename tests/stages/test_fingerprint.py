"""The first stage of a run: what somebody typed into the UI is refused here, once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.cluster.parameters import CheckedSettings
from kfdet.errors import InputError
from kfdet.parameters import DEFAULTS
from kfdet.stages.fingerprint import take_fingerprint


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "a.xml").write_text("<annotations/>")
    return tmp_path / "toys"


def take(dataset: Path, gpus: str = "0", **given: Any) -> tuple[str, str, str, str]:
    own = {n: v for n, v in given.items() if hasattr(DEFAULTS, n)}
    rest = CheckedSettings(**{n: v for n, v in given.items() if n not in own})
    state = dataset.parent / "state"
    return take_fingerprint(str(dataset), state, replace(DEFAULTS, **own), rest, gpus)


def test_what_it_finds(dataset: Path) -> None:
    digest, rival, started, gpus = take(dataset)
    assert json.loads((dataset.parent / "state").read_text())["fingerprint"] == digest
    assert (rival, gpus) == ("", "0")
    again = take(dataset)
    assert again[0] == digest
    assert again[2] >= started > "2026"


def test_evaluation_gets_one_of_the_gpus(dataset: Path) -> None:
    assert take(dataset, gpus="8")[3] == "1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": "resnet"}, "network must be one of"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"input_size": "big"}, 'input size "big" is not HEIGHTxWIDTH'),
        ({"overrides": "{"}, "the overrides are not YAML"),
        ({"min_ap50": 2.0}, "min_ap50 must be 0 to 1, got 2.0"),
        ({"promote": "better"}, "there is nothing to compare with"),
        ({"pretrained": "coco"}, "ssd_mobilenet_v3_small_fpnlite"),
        ({"pretrained": "no/such/run"}, "no such checkpoint"),
        ({"endpoint": "Toys"}, '"Toys" cannot be the name of an endpoint'),
        ({"canary_percent": 100}, "canary_percent must be 0 to 99, got 100"),
        ({"model_root": "gcs://x/y"}, "model_root must be a bucket path"),
        ({"training_memory": "8GB"}, "training_memory must be a quantity"),
        ({"training_cpu": ""}, "training_cpu must be a quantity"),
        ({"gpus": "one"}, "accelerator_count must be a whole number, got 'one'"),
    ],
)
def test_bad_parameters(given: dict[str, Any], message: str, dataset: Path) -> None:
    with pytest.raises(InputError) as error:
        take(dataset, **given)
    assert message in str(error.value)
    assert not (dataset.parent / "state").exists()


@pytest.mark.parametrize("name", ["pretrained", "against"])
def test_what_is_not_in_the_bucket(name: str, dataset: Path, object_store: ObjectStore) -> None:
    object_store.client.make_bucket(BUCKET)
    with pytest.raises(InputError, match=f"minio://{BUCKET}/gone.zip"):
        take(dataset, **{name: f"minio://{BUCKET}/gone.zip"})


def test_folders_of_this_machine_are_places_too(dataset: Path) -> None:
    assert take(dataset, checkpoint_root="/somewhere/checkpoints")[0]


PROGRAM = """
import sys
from kfdet.errors import InputError
from kfdet.parameters import TrainingSettings
from kfdet.training.run import check_experiment

check_experiment(TrainingSettings(input_size="128x192", overrides="trainer: {max_to_keep: 2}"))
for bad in {"input_size": "100x100"}, {"overrides": "trainer: {no_such: 2}"}:
    try:
        check_experiment(TrainingSettings(**bad))
    except InputError as error:
        print(error)
"""


@pytest.mark.slow
def test_what_model_garden_would_refuse() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    size, overrides = done.stdout.splitlines()
    assert "both sides must be multiples of 32" in size
    assert "overrides do not fit Model Garden's experiment configuration" in overrides
