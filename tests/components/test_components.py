from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

STAGES = (
    "planning",
    "interpolation",
    "frame_extraction",
    "negative_mining",
    "tfrecord_build",
    "training",
    "export",
    "evaluation",
    "deployment",
)


def component_function(stage: str) -> Any:
    module = importlib.import_module(f"kfdet.components.{stage}")
    return getattr(module, stage).python_func


def stage_call(function: Any) -> tuple[Any, ast.Call]:
    """The stage function that a component imports, and the call of it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (imported,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kfdet.stages.")
    ]
    name = imported.names[0]
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == (name.asname or name.name)
    ]
    return getattr(importlib.import_module(imported.module or ""), name.name), call


def plain(annotation: Any) -> Any:
    """A stage may narrow text to a few words; a pipeline parameter is text."""
    if get_origin(annotation) is Literal:
        (kind,) = {type(word) for word in get_args(annotation)}
        return kind
    return annotation


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_gives_its_stage_what_the_stage_takes(stage: str) -> None:
    component = component_function(stage)
    function, call = stage_call(component)
    keywords = {word.arg: word.value for word in call.keywords}
    bound = inspect.signature(function).bind(*call.args, **keywords)
    given, taken = inspect.get_annotations(component), get_type_hints(function)
    for name, value in bound.arguments.items():
        if isinstance(value, ast.Name):
            assert name in {value.id, "method"}
            assert given[value.id] == plain(taken[name]), name
        elif isinstance(value, ast.Attribute):
            assert value.attr == "path"
            assert taken[name] is str, name
        else:
            assert isinstance(value, ast.ListComp)
            assert taken[name] in {list[str], Sequence[str]}, name


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_hands_every_parameter_on(stage: str) -> None:
    component = component_function(stage)
    tree = ast.parse(textwrap.dedent(inspect.getsource(component)))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(inspect.signature(component).parameters) <= used
