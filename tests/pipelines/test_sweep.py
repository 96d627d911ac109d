from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfdet.parameters import TrainingSettings
from kfdet.pipelines.compilation import Compilation
from kfdet.pipelines.compiler import compile_pipeline

GOLDEN = Path(__file__).parent / "golden" / "sweep.yaml"
PREPARATION = {"fingerprint", "planning", "tfrecord-build"}


def compiled(folder: Path, **options: Any) -> dict[str, Any]:
    compile_pipeline(folder / "sweep.yaml", Compilation(**options), pipeline="sweep")
    spec, _ = yaml.safe_load_all((folder / "sweep.yaml").read_text())
    return dict(spec)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compiled(tmp_path_factory.mktemp("pipelines"))


def test_the_compiled_pipeline_is_the_golden_one(tmp_path: Path) -> None:
    compiled(tmp_path)
    found = (tmp_path / "sweep.yaml").read_text()
    assert found == GOLDEN.read_text(), "look at the difference, then: make golden"


def loop_over_settings(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The task of the loop, and its component."""
    for task in spec["root"]["dag"]["tasks"].values():
        component = spec["components"][task["componentRef"]["name"]]
        if "training" in component.get("dag", {}).get("tasks", {}):
            return task, component
    raise AssertionError("no loop trains")


def test_only_the_training_is_repeated(spec: dict[str, Any]) -> None:
    task, component = loop_over_settings(spec)
    assert set(component["dag"]["tasks"]) == {"training"}
    assert task["parameterIterator"]["items"] == {"inputParameter": "pipelinechannel--grid-Output"}
    once = {name for name in spec["root"]["dag"]["tasks"] if not name.startswith(("for", "cond"))}
    assert once == PREPARATION | {"grid", "selection", "export", "evaluation"}


def test_a_training_takes_every_setting_from_its_item(spec: dict[str, Any]) -> None:
    _, component = loop_over_settings(spec)
    inputs = component["dag"]["tasks"]["training"]["inputs"]["parameters"]
    for each in fields(TrainingSettings):
        assert inputs[each.name] == {
            "componentInputParameter": "pipelinechannel--grid-Output-loop-item",
            "parameterExpressionSelector": f'parseJson(string_value)["{each.name}"]',
        }


def test_the_loop_is_handed_what_its_pods_are_patched_with(spec: dict[str, Any]) -> None:
    """KFP's driver finds it nowhere else."""
    _, component = loop_over_settings(spec)
    executor = spec["deploymentSpec"]["executors"]["exec-training"]["container"]
    names = set(re.findall(r"pipelinechannel--\w+", json.dumps(executor["resources"])))
    assert len(names) == 5
    assert names <= set(component["inputDefinitions"]["parameters"])


@pytest.mark.parametrize(("limit", "policy"), [(0, None), (2, {"parallelismLimit": 2})])
def test_as_many_at_a_time_as_wanted(limit: int, policy: Any, tmp_path: Path) -> None:
    task, _ = loop_over_settings(compiled(tmp_path, parallel_trainings=limit))
    assert task.get("iteratorPolicy") == policy


def test_the_chosen_model_goes_on(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    for name, given in {"export": "model", "evaluation": "training"}.items():
        artifact = tasks[name]["inputs"]["artifacts"][given]["taskOutputArtifact"]
        assert artifact == {"outputArtifactKey": "model", "producerTask": "selection"}


def test_only_dataset_and_grid_have_to_be_given(spec: dict[str, Any]) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {name for name, p in parameters.items() if not p.get("isOptional")} == {"dataset"}
    assert parameters["grid"]["defaultValue"] == ""
    assert all(parameter.get("description") for parameter in parameters.values())
