from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfdet.components.image import IMAGE, TRAINING_IMAGE
from kfdet.pipelines.compiler import compile_pipeline

GOLDEN = Path(__file__).parent / "golden" / "scoring.yaml"


def test_the_compiled_pipeline_is_the_golden_one(tmp_path: Path) -> None:
    compile_pipeline(tmp_path / "scoring.yaml", pipeline="scoring")
    found = (tmp_path / "scoring.yaml").read_text()
    assert found == GOLDEN.read_text(), "look at the difference, then: make golden"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    pipeline, _ = yaml.safe_load_all(GOLDEN.read_text())
    return dict(pipeline)


def test_nothing_comes_from_the_cache(spec: dict[str, Any]) -> None:
    """What is in a bucket changes without a change of its address."""
    dags = [
        each["dag"]["tasks"]
        for each in [spec["root"], *spec["components"].values()]
        if "dag" in each
    ]
    tasks = {name: task for dag in dags for name, task in dag.items() if "for" not in name}
    assert set(tasks) == {"scoring-plan", "scoring", "scoring-summary"}
    assert not any(task.get("cachingOptions") for task in tasks.values())


def test_only_places_and_model_have_to_be_given(spec: dict[str, Any]) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    needed = {name for name, each in parameters.items() if not each.get("isOptional")}
    assert needed == {"source", "target", "model"}
    assert all(each.get("description") for each in parameters.values())


def test_only_the_groups_get_gpus(spec: dict[str, Any]) -> None:
    executors = {
        name.removeprefix("exec-"): each["container"]
        for name, each in spec["deploymentSpec"]["executors"].items()
    }
    assert executors["scoring"]["image"] == TRAINING_IMAGE
    assert {each["image"] for name, each in executors.items() if name != "scoring"} == {IMAGE}
    resources = json.dumps(executors["scoring"]["resources"])
    assert {"accelerator_count", "accelerator_type", "scoring_cpu", "scoring_memory"} == {
        name.removeprefix("pipelinechannel--")
        for name in re.findall(r"pipelinechannel--\w+", resources)
    }


def test_the_loop_is_handed_what_its_pods_are_patched_with(spec: dict[str, Any]) -> None:
    """KFP's driver finds it nowhere else."""
    dags = {name: each.get("dag", {}).get("tasks", {}) for name, each in spec["components"].items()}
    (loop,) = [spec["components"][name] for name, tasks in dags.items() if "scoring" in tasks]
    text = json.dumps(spec["deploymentSpec"]["executors"]["exec-scoring"]["container"]["resources"])
    names = set(re.findall(r"pipelinechannel--\w+", text))
    assert names <= set(loop["inputDefinitions"]["parameters"])
    assert {"pipelinechannel--node_selector", "pipelinechannel--tolerations"} <= set(
        loop["inputDefinitions"]["parameters"]
    )
