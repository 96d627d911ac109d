"""Compile the pipelines to the YAML that a Kubeflow Pipelines backend takes."""

import tempfile
from pathlib import Path
from typing import Any

from kfp.compiler import Compiler

from kfdet.cluster.parameters import BUCKET
from kfdet.cluster.releases import Release
from kfdet.files import atomic_file
from kfdet.pipelines import scoring, sweep, training
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation, PipelineName

PIPELINES = {"training": training, "sweep": sweep, "scoring": scoring}
"""The module of each pipeline: its NAME, its DESCRIPTION, and what builds it."""

_DISPENSABLE_FIELDS: dict[Release, tuple[str, ...]] = {(2, 16): ("securityContext",)}
"""Settings of a stage's pod that a release of Kubeflow Pipelines added, and that are dispensable.

Older ones refuse a pipeline with a field that they do not know. The images run as another user than
root anyway. Source: kubernetes_platform/proto/kubernetes_executor_config.proto of each release.
"""


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
        InputError: A value is out of its limits, Kubeflow Pipelines is too old, or the file cannot
            be written.
    """
    compilation.check()
    built = PIPELINES[pipeline].build_pipeline(compilation, bucket)
    # KFP needs a file name that ends in .yaml, which an atomic file does not have
    with tempfile.TemporaryDirectory() as folder, atomic_file(output) as temporary:
        _leave_out_newer_fields(built, compilation.release())
        compiled = Path(folder, "pipeline.yaml")
        Compiler().compile(built, str(compiled))
        temporary.write_bytes(compiled.read_bytes())


def _leave_out_newer_fields(pipeline: Any, release: Release) -> None:
    """Remove from the settings of a pipeline's pods what `release` does not know."""
    newer = {
        name for added, names in _DISPENSABLE_FIELDS.items() if release < added for name in names
    }
    executors = pipeline.platform_spec.platforms["kubernetes"].deployment_spec.executors
    for settings in executors.values():
        for name in newer & set(settings):
            del settings[name]
