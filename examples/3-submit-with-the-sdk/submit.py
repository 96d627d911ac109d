"""Run kfdet's pipeline with Kubeflow's own SDK, like any other pipeline.

python examples/3-submit-with-the-sdk/submit.py minio://kfdet/datasets/toys steps=300

`kfdet submit` does this and more: it follows the run, explains what goes wrong, and prints the
metrics. The cluster is the one of KUBECONFIG.
"""

import os
import sys
import tempfile
from pathlib import Path

import kfp
import yaml

from kfdet.cluster.parameters import BUCKET, pipeline_root
from kfdet.kubeflow.backend import connect_backend
from kfdet.pipelines.compilation import Compilation
from kfdet.pipelines.compiler import compile_pipeline


def main(dataset: str, *parameters: str) -> None:
    """Compile the pipeline, run it, wait, and print the final state."""
    arguments = {"dataset": dataset}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        arguments[name] = yaml.safe_load(value)
    client = kfp.Client()
    version = connect_backend(os.environ.get("KF_PIPELINES_ENDPOINT", "")).version
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "pipeline.yaml")
        compile_pipeline(file, Compilation(kfp_version=version))
        run = client.create_run_from_pipeline_package(
            str(file), arguments=arguments, pipeline_root=pipeline_root(BUCKET)
        )
    print(client.wait_for_run_completion(run.run_id, timeout=24 * 3600).state)


if __name__ == "__main__":
    main(*sys.argv[1:])
