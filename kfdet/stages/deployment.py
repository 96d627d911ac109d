"""Deployment stage: exported model and its metrics in; a served endpoint out."""

from __future__ import annotations

from pathlib import Path

from kfdet.cluster.connection import connect
from kfdet.deployment.deploy import deploy as deploy_model
from kfdet.deployment.deploy import read_metrics
from kfdet.deployment.rollout import Options
from kfdet.deployment.smoke_test import validation_pictures


def deploy(
    saved_model: Path,
    metrics: Path,
    records: Path,
    bundle: Path,
    *,
    endpoint: str,
    model_root: str,
    canary_percent: int,
) -> tuple[str, str]:
    """Serve the model under a name; the previous version stays until the new one has answered.

    Args:
        saved_model: Folder of the export, with the version folder "1".
        metrics: metrics.json of the evaluation.
        records: Folder of the TFRecord build, for validation pictures to test with.
        bundle: The zip of the evaluation, for another training to start from.
        endpoint: Name of the InferenceService.
        model_root: Bucket path that keeps every deployed version.
        canary_percent: Percentage of the requests that the new model gets; 0: all.

    Returns:
        The endpoint's URL, and the model's version.

    Raises:
        InputError: The cluster or the bucket does not allow it.
        KfdetError: The model does not become ready, or does not answer well.
    """
    served = deploy_model(
        connect(),
        saved_model,
        endpoint,
        model_root=model_root,
        metrics=read_metrics(metrics),
        pictures=validation_pictures(records),
        options=Options(canary_percent=canary_percent),
        bundle=bundle,
    )
    latest = served.serving.canary.release if served.serving.canary else served.serving.stable
    return served.url, latest.version
