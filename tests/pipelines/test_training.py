from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfdet.components.image import IMAGE, TRAINING_IMAGE
from kfdet.parameters import DEFAULTS
from kfdet.pipelines.compiling import compile_training
from kfdet.pipelines.training import training_pipeline

GOLDEN = Path(__file__).parent / "golden" / "training.yaml"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(GOLDEN.read_text())
    return loaded


def images(path: Path) -> dict[str, str]:
    executors = yaml.safe_load(path.read_text())["deploymentSpec"]["executors"]
    return {name: executor["container"]["image"] for name, executor in executors.items()}


def test_the_compiled_pipeline_is_the_golden_one(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compile_training(compiled)
    assert compiled.read_text() == GOLDEN.read_text(), "look at the difference, then: make golden"


def test_the_golden_pipeline_is_a_pipeline_spec(spec: dict[str, Any]) -> None:
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert message.schema_version == "2.1.0"
    assert len(message.deployment_spec["executors"]) == 8
    assert all(
        name in message.components
        for name in (task.component_ref.name for task in message.root.dag.tasks.values())
    )


def test_export_comes_before_evaluation(spec: dict[str, Any]) -> None:
    assert "export" in spec["root"]["dag"]["tasks"]["evaluation"]["dependentTasks"]


def test_the_verdict_is_a_bool(spec: dict[str, Any]) -> None:
    outputs = spec["components"]["comp-evaluation"]["outputDefinitions"]["parameters"]
    assert outputs["Output"]["parameterType"] == "BOOLEAN"


def test_every_input_is_explained(spec: dict[str, Any]) -> None:
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        assert parameter.get("description"), name


def test_the_defaults_are_those_of_the_command_line() -> None:
    signature = inspect.signature(training_pipeline.pipeline_func)
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    assert defaults == dataclasses.asdict(DEFAULTS)


def test_nothing_of_this_machine_is_in_it() -> None:
    text = GOLDEN.read_text()
    assert str(Path.cwd()) not in text
    assert str(Path.home()) not in text
    assert not re.search(r"password|secret|token|https?://|minio://|s3://", text, re.IGNORECASE)


def test_the_images_name_no_registry() -> None:
    assert set(images(GOLDEN).values()) == {IMAGE, TRAINING_IMAGE}
    assert "/" not in IMAGE + TRAINING_IMAGE


def test_other_images_take_their_place(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compile_training(compiled, image="hub/cpu@sha256:1", training_image="hub/gpu:2")
    found = images(compiled)
    assert found.pop("exec-training") == "hub/gpu:2"
    assert set(found.values()) == {"hub/cpu@sha256:1"}
