"""Compile the pipelines to the YAML that a Kubeflow Pipelines backend takes."""

import tempfile
from pathlib import Path

from kfp.compiler import Compiler

from kfdet.files import atomic_file
from kfdet.pipelines.cluster_parameters import BUCKET, COMPILATION_DEFAULTS, Compilation
from kfdet.pipelines.training import build_training_pipeline


def compile_training(
    output: Path, compilation: Compilation = COMPILATION_DEFAULTS, bucket: str = BUCKET
) -> None:
    """Write the training pipeline to `output`.

    Args:
        output: The YAML file.
        compilation: Images, and what else is compiled in.
        bucket: Name of the bucket where everything is kept unless a parameter names another.

    Raises:
        InputError: A value is out of its limits, or the file cannot be written.
    """
    compilation.check()
    pipeline = build_training_pipeline(compilation, bucket)
    # KFP needs a file name that ends in .yaml, which an atomic file does not have
    with tempfile.TemporaryDirectory() as folder, atomic_file(output) as temporary:
        compiled = Path(folder, "pipeline.yaml")
        Compiler().compile(pipeline, str(compiled))
        temporary.write_bytes(compiled.read_bytes())
