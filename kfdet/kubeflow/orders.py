"""What a run on Kubeflow Pipelines is made of: a pipeline that is uploaded, and its parameters."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfdet import __version__
from kfdet.cluster.names import NAMESPACE
from kfdet.cluster.parameters import pipeline_root
from kfdet.cluster.releases import PIPELINES as SUPPORTED
from kfdet.cluster.releases import parse_release
from kfdet.errors import InputError
from kfdet.events import warn
from kfdet.kubeflow.backend import Backend, find_or_create
from kfdet.kubeflow.launcher import CONFIG_MAP, lacks_bucket
from kfdet.pipelines.compilation import Compilation, PipelineName


@dataclass(frozen=True, slots=True)
class Order:
    """What a run or a schedule is made of, checked.

    Args:
        name: What to call it: the name of the dataset, or of the folder that is scored.
        experiment_id: The experiment that lists it.
        version: IDs of the pipeline and its version, as the API writes them.
        arguments: The pipeline's parameters.
        pipeline_root: URI below which the stages keep their artifacts; "": the namespace's.
        fingerprint: That of the dataset now; "" where an earlier run never saves this one.
    """

    name: str
    experiment_id: str
    version: Mapping[str, str]
    arguments: Mapping[str, Any]
    pipeline_root: str
    fingerprint: str


def place_order(
    backend: Backend,
    pipeline: PipelineName,
    compilation: Compilation,
    arguments: Mapping[str, Any],
    *,
    name: str,
    experiment: str,
    bucket: str,
    fingerprint: str = "",
) -> Order:
    """Upload the pipeline of a run whose parameters are checked.

    Args:
        backend: The API server.
        pipeline: Which pipeline.
        compilation: What is compiled in.
        arguments: The pipeline's parameters.
        name: See `Order`.
        experiment: Name of the experiment that lists it.
        bucket: Name of the bucket that keeps the artifacts.
        fingerprint: See `Order`.

    Raises:
        InputError: The backend is too old.
        KfdetError: Kubeflow Pipelines refuses the pipeline.
    """
    pipeline_id, version_id, _ = upload_pipeline(backend, compilation, pipeline)
    return Order(
        name,
        backend.experiment(experiment),
        {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
        arguments,
        # The UI of an installation for several users reads its own store only.
        "" if backend.namespace else pipeline_root(bucket),
        fingerprint,
    )


def check_store(backend: Backend, uri: str) -> None:
    """Refuse a store that the stages cannot keep their artifacts in; warn of a doubtful bucket.

    Args:
        backend: The API server.
        uri: Address in the bucket that keeps the artifacts.

    Raises:
        InputError: The address or the environment is bad, or the store will not do.
    """
    from kfdet.cluster.connection import connect
    from kfdet.storage.address import GOOGLE_HOST, BucketPath
    from kfdet.storage.environment import read_connection

    bucket, store = BucketPath.parse(uri).bucket, read_connection(uri)
    if store.host.endswith(GOOGLE_HOST):
        raise InputError(
            "Kubeflow Pipelines cannot store the artifacts of a run in Google Cloud Storage by way "
            "of S3: Google changes a header that its client signs.",
            file=uri,
            hint="Use another S3 store; manifests/overlays/standalone brings one.",
        )
    if backend.namespace or not backend.same_cluster:
        return
    settings = connect(NAMESPACE).config_map(CONFIG_MAP)
    if settings is not None and lacks_bucket(settings, bucket, store.host):
        warn(
            f"Kubeflow Pipelines has no setting for the bucket {bucket}, so its stages may be "
            f"unable to keep their artifacts there: set it in the ConfigMap {CONFIG_MAP} "
            "(docs/kubernetes.md, Beside other pipelines)."
        )


def version_name(pipeline: str) -> str:
    """Name of a pipeline's version: the same YAML has the same name."""
    return f"{__version__}-{hashlib.sha256(pipeline.encode()).hexdigest()[:12]}"


def upload_pipeline(
    backend: Backend, compilation: Compilation, pipeline: PipelineName = "training"
) -> tuple[str, str, str]:
    """Upload a pipeline as this backend needs it, unless this version is there already.

    Returns:
        ID of the pipeline, ID of the version, name of the version.

    Raises:
        InputError: The backend is too old.
    """
    from kfdet.pipelines.compiler import PIPELINES, compile_pipeline

    compilation = _for_backend(backend, compilation)
    module = PIPELINES[pipeline]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compile_pipeline(file, compilation, pipeline=pipeline)
        name = version_name(file.read_text())
        pipeline_id = find_or_create(
            lambda: backend.find_version(module.NAME, name)[0],
            lambda: backend.create_pipeline(module.NAME, module.DESCRIPTION),
        )
        version_id = find_or_create(
            lambda: backend.find_version(module.NAME, name)[1],
            lambda: backend.upload_version(pipeline_id, name, file),
        )
    return pipeline_id, version_id, name


def _for_backend(backend: Backend, compilation: Compilation) -> Compilation:
    """The compilation for the version of Kubeflow Pipelines that answers, unless one is given.

    Raises:
        InputError: It cannot run the pipeline.
    """
    if compilation.kfp_version:
        return compilation
    if parse_release(backend.version):
        compilation = replace(compilation, kfp_version=backend.version)
        compilation.release()
    if doubt := SUPPORTED.doubt(backend.version):
        warn(f"{doubt} If the run is refused, name a version with --kfp-version.")
    return compilation
