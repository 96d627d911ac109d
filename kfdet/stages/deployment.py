"""Deployment stage: exported model and its metrics in; a served endpoint out."""

from __future__ import annotations

from pathlib import Path

from kfdet.cluster.connection import connect
from kfdet.deployment.deploy import deploy as deploy_model
from kfdet.deployment.deploy import read_metrics
from kfdet.deployment.gate import may_replace, note_refusal
from kfdet.deployment.readiness import SupersededError
from kfdet.deployment.rollout import Options
from kfdet.deployment.smoke_test import validation_pictures
from kfdet.events import emit, warn
from kfdet.parameters import Promotion

_TRIES = 5
"""How often a deployment begins again that others have overtaken."""


def deploy(
    saved_model: Path,
    metrics: Path,
    records: Path,
    bundle: Path,
    *,
    endpoint: str,
    model_root: str,
    canary_percent: int,
    promote: Promotion,
    started: str = "",
) -> tuple[str, str, str]:
    """Serve the model under a name; the previous version stays until the new one has answered.

    Args:
        saved_model: Folder of the export, with the version folder "1".
        metrics: metrics.json of the evaluation.
        records: Folder of the TFRecord build, for validation pictures to test with.
        bundle: The zip of the evaluation, for another training to start from.
        endpoint: Name of the InferenceService.
        model_root: Bucket path that keeps every deployed version.
        canary_percent: Percentage of the requests that the new model gets; 0: all.
        promote: What the model must be beside the one that the endpoint serves; a model that is
            not leaves the endpoint as it is.
        started: When the run was started (`kfdet.events.timestamp`). Of two runs the one that was
            started later wins, whichever deploys first; the other one leaves the endpoint as it is.

    Returns:
        The endpoint's URL, the newest version that it serves, and the decision with its reason.

    Raises:
        InputError: The cluster or the bucket does not allow it.
        KfdetError: The model does not become ready, or does not answer well.
    """
    cluster = connect()
    for left in reversed(range(_TRIES)):
        decision = may_replace(cluster, endpoint, saved_model, records, promote, started=started)
        emit("info", message=decision.reason)
        if decision.current and not decision.good:
            note_refusal(cluster, endpoint, saved_model, decision)
            return decision.current.url, decision.current.serving.newest.version, decision.reason
        try:
            served = deploy_model(
                cluster,
                saved_model,
                endpoint,
                model_root=model_root,
                metrics=read_metrics(metrics),
                pictures=validation_pictures(records),
                options=Options(canary_percent=canary_percent),
                bundle=bundle,
                comparison=decision.comparison,
                started=started,
            )
        except SupersededError as error:  # by what, and whether that is newer, is looked up again
            if not left:
                raise
            warn(f"{error} This deployment begins again.")
        else:
            break
    return served.url, served.serving.newest.version, decision.reason
