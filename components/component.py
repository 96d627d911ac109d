"""How a function becomes a KFP component whose code comes from the installed package."""

from collections.abc import Callable
from dataclasses import Field
from inspect import Parameter
from typing import Any, Literal, get_args, get_origin

from kfp import dsl
from kfp.dsl.component_factory import extract_component_interface
from kfp.dsl.python_component import PythonComponent
from kfp.dsl.structures import ContainerSpecImplementation, Implementation

from kfdet.parameters import flatten

COMMAND = ("python3", "-m", "kfdet.components")


def component(image: str) -> Callable[[Callable[..., Any]], PythonComponent]:
    """Make a function a component that runs in containers of `image`.

    As `kfp.dsl.component`, with two differences. The container runs the function of the package
    that is installed in the image, where dsl.component embeds the function's source into the
    pipeline; and an argument that is a dataclass of settings becomes one parameter per field.

    Args:
        image: Name of the container image.
    """

    def decorate(function: Callable[..., Any]) -> PythonComponent:
        flat = flatten(function, _required)
        specification = extract_component_interface(flat)
        specification.implementation = Implementation(
            container=ContainerSpecImplementation(
                image=image,
                command=list(COMMAND),
                args=[
                    *("--executor_input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
                    *("--function_to_execute", function.__name__),
                ],
            )
        )
        return PythonComponent(specification, flat)

    return decorate


def _required(_: Field[Any], kind: Any) -> tuple[Any, Any]:
    """A parameter of a type that KFP knows; without a default, which only the pipeline has."""
    if get_origin(kind) is Literal:
        kind = type(get_args(kind)[0])
    return kind, Parameter.empty
