"""How a function becomes a KFP component whose code comes from the installed package."""

from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl.component_factory import extract_component_interface
from kfp.dsl.python_component import PythonComponent
from kfp.dsl.structures import ContainerSpecImplementation, Implementation

COMMAND = ("python3", "-m", "kfdet.components")


def component(image: str) -> Callable[[Callable[..., Any]], PythonComponent]:
    """Make a function a component that runs in containers of `image`.

    As `kfp.dsl.component`, but the container runs the function of the package that is installed in
    the image, where dsl.component embeds the function's source into the pipeline.

    Args:
        image: Name of the container image.
    """

    def decorate(function: Callable[..., Any]) -> PythonComponent:
        specification = extract_component_interface(function)
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
        return PythonComponent(specification, function)

    return decorate
