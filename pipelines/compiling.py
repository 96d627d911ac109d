"""Compile the pipelines to the YAML that a Kubeflow Pipelines backend takes."""

import re
import tempfile
from pathlib import Path

from kfp.compiler import Compiler

from kfdet.components.image import IMAGE, TRAINING_IMAGE
from kfdet.files import atomic_file
from kfdet.pipelines.training import SHARED_MEMORY, training_pipeline


def compile_training(
    output: Path, *, image: str = "", training_image: str = "", shared_memory: str = ""
) -> None:
    """Write the training pipeline to `output`.

    Args:
        output: The YAML file.
        image: Image of the stages; empty: components.image.IMAGE.
        training_image: Image of the training stage; empty: components.image.TRAINING_IMAGE.
        shared_memory: Size of /dev/shm of the training stage; empty: SHARED_MEMORY.

    Raises:
        InputError: The file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "pipeline.yaml")
        Compiler().compile(training_pipeline, str(compiled))
        text = compiled.read_text()
    images = {IMAGE: image or IMAGE, TRAINING_IMAGE: training_image or TRAINING_IMAGE}
    text = re.sub(r"(?m)(?<=^        image: ).+$", lambda match: images[match[0]], text)
    sizes = {SHARED_MEMORY: shared_memory or SHARED_MEMORY}
    text = re.sub(r"(?m)(?<= sizeLimit: ).+$", lambda match: sizes[match[0]], text)
    with atomic_file(output) as temporary:
        temporary.write_text(text)
