"""A model beside the one that an endpoint serves: real models, a made-up endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import blob_detector as blobs

from kfdet.cluster import names
from kfdet.deployment import gate
from kfdet.deployment.endpoint import Endpoint, Release, Serving
from kfdet.deployment.gate import Decision, confirm, find_rival, may_replace
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.publish import version_of
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
    assert found.comparison["interval"][0] > 0


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


RIVAL = "s3://kfdet/models/toys/111111111111"
METRICS: dict[str, Any] = {
    "verdict": True,
    "verdict_reasons": ["Promoted."],
    "comparison": {"against": "version 111111111111 of toys", "difference": 0.1},
}
REFUSED = {**METRICS, "verdict": False, "verdict_reasons": ["Not promoted."]}
OTHER = {**METRICS, "comparison": {"against": "s3://kfdet/older.zip", "difference": 0.1}}


@pytest.mark.parametrize(
    ("serves", "metrics", "promote", "rival", "good", "reason"),
    [
        (RIVAL, METRICS, "better", RIVAL, True, "Promoted."),
        (RIVAL, REFUSED, "better", RIVAL, False, "Not promoted."),
        (RIVAL, OTHER, "better", RIVAL, True, "Promoted."),
        (RIVAL, METRICS, "always", "", True, "Nothing was compared"),
        (RIVAL, METRICS, "better", "", False, "serves another version since"),
        (RIVAL, METRICS, "better", "s3://kfdet/models/toys/0", False, "serves another version"),
        ("", METRICS, "better", RIVAL, True, "serves nothing yet"),
        ("", REFUSED, "better", "", False, "Not promoted."),
    ],
    ids=[
        *("promoted", "refused", "compared with another", "always"),
        *("deployed meanwhile", "switched meanwhile", "deleted meanwhile", "no endpoint"),
    ],
)
def test_what_the_evaluation_compared_decides_while_the_endpoint_serves_it(
    serves: str,
    metrics: dict[str, Any],
    promote: Any,
    rival: str,
    good: bool,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    serving = Serving(Release("111111111111", serves))
    found = read(build("toys", "default", serving, "Standard")) if serves else None
    monkeypatch.setattr(gate, "check_deployment", lambda *_, **__: found)
    decision = confirm(None, "toys", tmp_path, metrics, promote, rival)  # type: ignore[arg-type]
    assert decision.good is good
    assert reason in decision.reason
    assert decision.current is found
    if metrics is OTHER:
        assert not decision.comparison, "it is not with what the endpoint serves"
    elif reason.endswith("romoted."):
        assert decision.comparison == METRICS["comparison"]


def test_a_version_that_serves_already_stays(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(Release(version_of(models["right"] / "1"), RIVAL))
    found = read(build("toys", "default", serving, "Standard"))
    monkeypatch.setattr(gate, "check_deployment", lambda *_, **__: found)
    decision = confirm(None, "toys", models["right"], METRICS, "better", "")  # type: ignore[arg-type]
    assert decision.good
    assert "serves this version already" in decision.reason


def test_a_version_that_a_later_run_gave_again_is_newer(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = build("toys", "default", Serving(Release("1", RIVAL, started="2026-01")), "Standard")
    note = {"version": "1", "started": "2026-03"}
    manifest["status"] = {"annotations": {names.CONFIRMED: json.dumps(note)}}
    monkeypatch.setattr(gate, "check_deployment", lambda *_, **__: read(manifest))
    arguments = (None, "toys", models["right"], METRICS, "always", "")
    assert confirm(*arguments, started="2026-04").good  # type: ignore[arg-type]
    decision = confirm(*arguments, started="2026-02")  # type: ignore[arg-type]
    assert decision.reason.startswith("Superseded: toys serves version 1 of a run that was started")
    note["version"] = "0"  # of what was served before
    manifest["status"] = {"annotations": {names.CONFIRMED: json.dumps(note)}}
    assert confirm(*arguments, started="2026-02").good  # type: ignore[arg-type]


@pytest.mark.parametrize("there", [True, False])
def test_the_rival_has_to_be_in_the_bucket(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, None)
    assert find_rival(None, "toys") == ""  # type: ignore[arg-type]
    serve(monkeypatch, Path(RIVAL))
    monkeypatch.setattr(gate, "is_there", lambda _: there)
    if there:
        assert find_rival(None, "toys") == str(Path(RIVAL))  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match=r"no longer in the bucket.*--promote always"):
        find_rival(None, "toys")  # type: ignore[arg-type]


def test_a_model_that_is_not_promoted_leaves_the_endpoint_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = Endpoint(
        "toys", "default", Serving(Release("1", "s3://x")), True, "http://toys", "", "", None
    )
    monkeypatch.setattr(stage, "connect_to_deploy", lambda _: None)
    monkeypatch.setattr(stage, "confirm", lambda *_, **__: Decision(False, "Worse.", current))
    monkeypatch.setattr(stage, "read_metrics", lambda _: {})
    monkeypatch.setattr(stage, "deploy_model", None)
    noted: list[Any] = []
    monkeypatch.setattr(stage, "note_refusal", lambda *given: noted.append(given))
    outcome = tmp_path / "outcome"
    paths = (tmp_path, tmp_path, tmp_path, tmp_path, outcome)
    options = {"endpoint": "toys", "model_root": "s3://x/y", "canary_percent": 0, "rival": ""}
    assert stage.deploy(*paths, **options, promote="better") == ("http://toys", "1", "Worse.")  # type: ignore[arg-type]
    assert len(noted) == 1
    assert json.loads(outcome.read_text())["decision"] == "Worse."
