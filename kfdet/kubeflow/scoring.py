"""Start the scoring of a folder on Kubeflow Pipelines."""

from __future__ import annotations

from dataclasses import asdict

from kfdet.cluster.parameters import Accelerators, ScoringPods
from kfdet.errors import InputError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.orders import Order, check_store, place_order
from kfdet.parameters import ScoringSettings
from kfdet.pipelines.compilation import Compilation


def prepare_scoring(
    backend: Backend,
    source: str,
    target: str,
    model: str,
    settings: ScoringSettings,
    pods: ScoringPods,
    accelerators: Accelerators,
    compilation: Compilation,
    experiment: str,
) -> Order:
    """Check a scoring, and upload its pipeline.

    Args:
        backend: The API server.
        source: Bucket path with pictures and videos.
        target: Bucket path of the results.
        model: Bucket path of a model: its folder, a .tflite file or a model.zip.
        settings: How the files are scored.
        pods: How they are shared out.
        accelerators: The nodes.
        compilation: What is compiled in.
        experiment: Name of the experiment that lists it.

    Raises:
        InputError: An address or a parameter is bad, there is no model, or nothing to score.
        KfdetError: Kubeflow Pipelines refuses the pipeline.
    """
    from kfdet.dataset.layout import is_media_file
    from kfdet.scoring.plan import check_places, nothing_to_score
    from kfdet.storage.address import BucketPath
    from kfdet.storage.listing import exists, list_names, no_objects

    _check_address(source, "Upload the folder: kfdet upload SRC minio://kfdet/NAME.")
    _check_address(target, "Write minio://BUCKET/NAME; what is missing of it is made.")
    _check_address(model, "Give the bucket path of a model.zip or of a model's folder.")
    check_places(source, target)
    for each in (settings, pods, accelerators, compilation):
        each.check()
    check_store(backend, target)
    if not any(map(is_media_file, list_names(source))):
        raise nothing_to_score(source)
    if not exists(model):
        raise no_objects(model)
    arguments = {
        "source": source,
        "target": target,
        "model": model,
        **asdict(settings),
        **asdict(pods),
        **accelerators.node_arguments(),
    }
    return place_order(
        backend,
        "scoring",
        compilation,
        arguments,
        name=BucketPath.parse(source).name,
        experiment=experiment,
        bucket=BucketPath.parse(target).bucket,
    )


def _check_address(place: str, hint: str) -> None:
    from kfdet.storage.address import BucketPath, is_bucket_uri

    if not is_bucket_uri(place):
        raise InputError(
            "is not in an object store, where the cluster could use it.", file=place, hint=hint
        )
    BucketPath.parse(place)
