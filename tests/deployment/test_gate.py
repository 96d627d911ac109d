"""A model beside the one that an endpoint serves: real models, a made-up endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import blob_detector as blobs

from kfdet.deployment import gate
from kfdet.deployment.endpoint import Endpoint, Release, Serving, build, read
from kfdet.deployment.gate import Decision, may_replace
from kfdet.errors import InputError
from kfdet.stages import deployment as stage

pytestmark = pytest.mark.slow

SWAPPED = [blobs.LABELS[1], blobs.LABELS[0], blobs.LABELS[2]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    labels = {"right": blobs.LABELS, "damaged": SWAPPED, "other": ["cat", "dog", "cow"]}
    return {name: blobs.save_blob_model(folder / name, names) for name, names in labels.items()}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.write_blob_records(tmp_path_factory.mktemp("records"), 3 * blobs.scenes()[:24])


def serve(monkeypatch: pytest.MonkeyPatch, model: Path | None) -> None:
    serving = Serving(Release("111111111111", str(model)))
    found = read(build("toys", "default", serving, "Standard")) if model else None
    monkeypatch.setattr(gate, "check_deployment", lambda *_, **__: found)


def decide(model: Path, records: Path, promote: Any) -> Decision:
    return may_replace(None, "toys", model, records, promote)  # type: ignore[arg-type]


@pytest.mark.parametrize("promote", ["better", "not-worse"])
def test_a_damaged_model_does_not_replace_a_right_one(
    models: dict[str, Path], records: Path, monkeypatch: pytest.MonkeyPatch, promote: str
) -> None:
    serve(monkeypatch, models["right"])
    found = decide(models["damaged"], records, promote)
    assert not found.good
    assert found.current
    assert "version 111111111111 of toys" in found.reason
    assert "Not promoted" in found.reason
    serve(monkeypatch, models["damaged"])
    found = decide(models["right"], records, promote)
    assert found.good
    assert found.comparison
    assert found.comparison.interval
    assert found.comparison.interval[0] > 0


def test_the_first_version_is_compared_with_nothing(
    models: dict[str, Path], records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, None)
    assert decide(models["damaged"], records, "better") == Decision(
        True, "toys serves nothing yet."
    )


def test_other_labels(
    models: dict[str, Path], records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, models["other"])
    assert decide(models["right"], records, "always").good
    with pytest.raises(InputError, match="knows none of the labels"):
        decide(models["right"], records, "better")


def test_a_model_that_is_not_promoted_leaves_the_endpoint_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = Endpoint(
        "toys", "default", Serving(Release("1", "s3://x")), True, "http://toys", "", "", None
    )
    monkeypatch.setattr(stage, "connect", lambda: None)
    monkeypatch.setattr(stage, "may_replace", lambda *_, **__: Decision(False, "Worse.", current))
    monkeypatch.setattr(stage, "deploy_model", None)
    noted: list[Any] = []
    monkeypatch.setattr(stage, "note_refusal", lambda *given: noted.append(given))
    outcome = tmp_path / "outcome"
    paths = (tmp_path, tmp_path, tmp_path, tmp_path, outcome)
    options = {"endpoint": "toys", "model_root": "s3://x/y", "canary_percent": 0}
    assert stage.deploy(*paths, **options, promote="better") == ("http://toys", "1", "Worse.")  # type: ignore[arg-type]
    assert len(noted) == 1
    assert json.loads(outcome.read_text())["decision"] == "Worse."
