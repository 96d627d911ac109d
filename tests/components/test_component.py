"""Every component takes the settings of its stage as parameters and hands all of them on."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import BoxSettings, Gate, Parameters, TrainingSettings

STAGES = {
    "fingerprint": "take_fingerprint",
    "planning": "plan_dataset",
    "grid": "expand_grid",
    "selection": "select",
    "interpolation": "interpolate_group",
    "frame_extraction": "extract_group",
    "negative_mining": "mine_negatives",
    "tfrecord_build": "build_tfrecords",
    "training": "train",
    "export": "export",
    "evaluation": "evaluate",
    "deployment": "deploy",
    "scoring_plan": "plan_scoring",
    "scoring": "score_group",
    "scoring_summary": "summarise_scoring",
}


def component_function(stage: str) -> Any:
    return getattr(importlib.import_module(f"kfdet.components.{stage}"), stage).python_func


class CalledError(Exception):
    """Ends a component as soon as it has called its stage."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_hands_everything_to_its_stage(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = component_function(stage)
    module = importlib.import_module(f"kfdet.stages.{stage}")
    signature = inspect.signature(getattr(module, STAGES[stage]))
    called: list[dict[str, Any]] = []

    def record(*args: Any, **named: Any) -> None:
        called.append(signature.bind(*args, **named).arguments)
        raise CalledError

    monkeypatch.setattr(module, STAGES[stage], record)
    given: dict[str, Any] = {}
    for number, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
        if parameter.annotation not in (str, int, float, bool):
            artifact = SimpleNamespace(path=f"/{name}", uri=f"minio://kfdet/{name}")
            several = name in ("indexes", "models", "outcomes")
            given[name] = [artifact] if several else artifact
        else:  # another value for each
            given[name] = parameter.annotation(number + 1)
    with pytest.raises(CalledError):
        function(**given)
    (arguments,) = called
    assert set(arguments) == set(signature.parameters)
    values: list[Any] = []
    for value in arguments.values():
        values += vars(value).values() if hasattr(value, "part") else [value]
    left_out = {"fingerprint", "tensorboard_image", "mlpipeline_ui_metadata", "confusion"}
    if stage == "evaluation":  # packed after the evaluation, by kfdet.stages.packaging
        left_out |= {"saved_model", "tflite", "bundle"}
    for name, value in given.items():
        if name in left_out:
            continue
        if isinstance(value, list):
            assert [Path(value[0].path)] in values, name
        elif isinstance(value, SimpleNamespace):
            assert Path(value.path) in values, name
        else:
            assert value in values or int(value) in values, name


def test_settings_become_parameters() -> None:
    @component(IMAGE)
    def example(
        model: dsl.Input[dsl.Model], gate: Gate, boxes: BoxSettings, seed: int = 3
    ) -> float:
        """Try it.

        Args:
            model: A model.
            gate: What it must reach,
                in two lines.
            boxes: How boxes move.
            seed: A seed.
        """
        assert model
        assert boxes.interpolation == "cubic"
        return gate.min_ap50 + gate.max_false_positives + seed

    inputs = example.component_spec.inputs
    assert list(inputs) == [
        *("model", "min_ap50", "min_recall", "max_false_positives", "promote", "against"),
        *("interpolation", "seed"),
    ]
    assert (inputs["min_ap50"].type, inputs["min_ap50"].optional) == ("Float", False)
    assert inputs["interpolation"].type == "String"
    assert inputs["interpolation"].description.startswith("How boxes move between key frames")
    assert inputs["seed"].description == "A seed."
    values = {"min_ap50": 1, "min_recall": 0, "max_false_positives": 2, "interpolation": "cubic"}
    values |= {"promote": "better", "against": "run"}
    assert example.python_func(model=object(), **values) == 6.0
    assert example.python_func(model=object(), **values, seed=0) == 3.0


def test_the_container_runs_the_installed_package() -> None:
    module = importlib.import_module("kfdet.components.planning")
    container = module.planning.component_spec.implementation.container
    assert container.image == IMAGE
    assert container.command == ["python3", "-m", "kfdet.components"]
    assert container.args[:3] == ["--executor_input", "{{$}}", "--function_to_execute"]
    assert container.args[3:] == ["planning"]


def test_training_takes_all_of_its_settings() -> None:
    names = set(inspect.signature(component_function("training")).parameters)
    assert set(vars(Parameters().part(TrainingSettings))) < names
