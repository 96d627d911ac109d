"""Compile the pipelines to the YAML that a Kubeflow Pipelines backend takes."""

import re
import tempfile
from pathlib import Path

from kfp.compiler import Compiler

from kfdet.components.image import IMAGE, TENSORBOARD_IMAGE, TRAINING_IMAGE
from kfdet.files import atomic_file
from kfdet.pipelines.cluster_parameters import BUCKET, COMPILATION_DEFAULTS
from kfdet.pipelines.training import training_pipeline


def compile_training(
    output: Path,
    *,
    image: str = "",
    training_image: str = "",
    tensorboard_image: str = "",
    shared_memory: str = COMPILATION_DEFAULTS.shared_memory,
    bucket: str = BUCKET,
) -> None:
    """Write the training pipeline to `output`.

    Args:
        output: The YAML file.
        image: Image of the stages; empty: components.image.IMAGE.
        training_image: Image of the training stage; empty: components.image.TRAINING_IMAGE.
        tensorboard_image: Default of the parameter of that name; empty:
            components.image.TENSORBOARD_IMAGE.
        shared_memory: Size of /dev/shm of the training stage.
        bucket: Name of the bucket where everything is kept unless a parameter says otherwise.

    Raises:
        InputError: The file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "pipeline.yaml")
        Compiler().compile(training_pipeline, str(compiled))
        text = compiled.read_text()
    images = {IMAGE: image or IMAGE, TRAINING_IMAGE: training_image or TRAINING_IMAGE}
    text = re.sub(r"(?m)(?<=^        image: ).+$", lambda match: images[match[0]], text)
    text = text.replace(TENSORBOARD_IMAGE, tensorboard_image or TENSORBOARD_IMAGE)
    text = text.replace(f"minio://{BUCKET}/", f"minio://{bucket}/")
    text = text.replace(
        f"sizeLimit: {COMPILATION_DEFAULTS.shared_memory}", f"sizeLimit: {shared_memory}"
    )
    with atomic_file(output) as temporary:
        temporary.write_text(text)
