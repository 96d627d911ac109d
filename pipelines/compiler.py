"""Compile the pipelines to the YAML that a Kubeflow Pipelines backend takes."""

import tempfile
from pathlib import Path

from kfp.compiler import Compiler

from kfdet.cluster.parameters import BUCKET
from kfdet.files import atomic_file
from kfdet.pipelines import sweep, training
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation, PipelineName

BUILDERS = {
    "training": training.build_training_pipeline,
    "sweep": sweep.build_sweep_pipeline,
}
"""What makes each pipeline."""


def compile_pipeline(
    output: Path,
    compilation: Compilation = COMPILATION_DEFAULTS,
    bucket: str = BUCKET,
    pipeline: PipelineName = "training",
) -> None:
    """Write a pipeline to `output`.

    Args:
        output: The YAML file.
        compilation: Images, and what else is compiled in.
        bucket: Name of the bucket where everything is kept unless a parameter names another.
        pipeline: Which pipeline.

    Raises:
        InputError: A value is out of its limits, or the file cannot be written.
    """
    compilation.check()
    built = BUILDERS[pipeline](compilation, bucket)
    # KFP needs a file name that ends in .yaml, which an atomic file does not have
    with tempfile.TemporaryDirectory() as folder, atomic_file(output) as temporary:
        compiled = Path(folder, "pipeline.yaml")
        Compiler().compile(built, str(compiled))
        temporary.write_bytes(compiled.read_bytes())
