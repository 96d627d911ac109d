"""Deployment stage: exported model and its metrics in; a served endpoint out."""

from __future__ import annotations

import json
from pathlib import Path

from kfdet.cluster.connection import connect_to_deploy
from kfdet.cluster.parameters import SERVING_DEFAULTS, ServingSettings
from kfdet.deployment.deploy import deploy as deploy_model
from kfdet.deployment.deploy import read_figures
from kfdet.deployment.endpoint import Endpoint
from kfdet.deployment.gate import confirm, note_refusal
from kfdet.deployment.notes import note_confirmation
from kfdet.deployment.publish import version_of
from kfdet.deployment.readiness import SupersededError
from kfdet.deployment.registry import find_registry
from kfdet.deployment.rollout import Options, rescale
from kfdet.deployment.smoke_test import LabelledPicture, validation_pictures
from kfdet.detection.saved_model import find_saved_model
from kfdet.evaluation.metrics_file import read_metrics
from kfdet.events import emit, warn
from kfdet.files import atomic_file
from kfdet.parameters import Promotion
from kfdet.storage.shards import open_records

_TRIES = 5
"""How often a deployment begins again that others have overtaken."""


def deploy(
    saved_model: Path,
    metrics: Path,
    records: Path,
    bundle: Path,
    outcome: Path,
    *,
    endpoint: str,
    model_root: str,
    canary_percent: int,
    promote: Promotion,
    rival: str,
    serving_namespace: str = "",
    serving: ServingSettings = SERVING_DEFAULTS,
    started: str = "",
    run: str = "",
    dataset: str = "",
    model_registry: str = "none",
) -> tuple[str, str, str]:
    """Serve the model under a name; the previous version stays until the new one has answered.

    A version that serves already is not deployed again.

    Args:
        saved_model: Folder of the export, with the version folder "1".
        metrics: metrics.json of the evaluation.
        records: Folder of the TFRecord build, for validation pictures to test with.
        bundle: The zip of the evaluation, for another training to start from.
        outcome: JSON file to write: the newest `version` that the endpoint serves, the time when
            the endpoint was `created`, whether this model was `promoted`, and the `decision` with
            its reason.
        endpoint: Name of the InferenceService.
        model_root: Bucket path that keeps every deployed version.
        canary_percent: Percentage of the requests that the new model gets; 0: all.
        promote: Required result of the comparison with what the endpoint serves; another result
            leaves the endpoint as it is.
        rival: Bucket URI of the model that the evaluation compared it with; "": none.
        serving_namespace: Namespace of the InferenceService; "": that of the run.
        serving: How to run the endpoint; what is left out stays as it is.
        started: When the run was started (`kfdet.events.timestamp`). Of two runs the one that was
            started later wins, whichever deploys first; the other one leaves the endpoint as it is.
        run: The ID of the run, for the record beside the endpoint.
        dataset: Fingerprint of the run's dataset, likewise.
        model_registry: Address of the Kubeflow Model Registry that lists it; "": that of the
            cluster, if it has one.

    Returns:
        The endpoint's URL, the newest version that it serves, both "" where there is still none,
        and the decision with its reason.

    Raises:
        InputError: The cluster or the bucket does not allow it.
        KfdetError: The model does not become ready, or does not answer well.
    """
    cluster = connect_to_deploy(serving_namespace)
    values = read_metrics(metrics)
    for left in reversed(range(_TRIES)):
        decision = confirm(cluster, endpoint, saved_model, values, promote, rival, started=started)
        served, reason = decision.current, decision.reason
        if not decision.good:
            if served:
                note_refusal(cluster, endpoint, saved_model, decision)
            break
        if served and _serves(served, saved_model, canary_percent):
            reason = f"{endpoint} serves this version already."
            served = rescale(cluster, endpoint, Options(serving=serving))
            note_confirmation(cluster, served, started)
            break
        try:
            served = deploy_model(
                cluster,
                saved_model,
                endpoint,
                model_root=model_root,
                metrics=read_figures(metrics),
                pictures=_pictures(records),
                options=Options(canary_percent=canary_percent, serving=serving),
                bundle=bundle,
                comparison=decision.comparison,
                started=started,
                run=run,
                dataset=dataset,
                registry=find_registry(model_registry, inside=cluster.inside),
            )
        except SupersededError as error:  # by what, and whether that is newer, is looked up again
            if not left:
                raise
            warn(f"{error} This deployment begins again.")
        else:
            break
    emit("info", message=reason)
    version = served.serving.newest.version if served else ""
    created = served.created if served else ""
    content = {
        "version": version,
        "created": created,
        "promoted": decision.good,
        "decision": reason,
    }
    with atomic_file(outcome) as path:
        path.write_text(json.dumps(content) + "\n")
    return served.url if served else "", version, reason


def _pictures(records: Path) -> list[LabelledPicture]:
    with open_records(records) as opened:
        return validation_pictures(opened)


def _serves(endpoint: Endpoint, model: Path, canary_percent: int) -> bool:
    """Whether an endpoint serves what a deployment would make it serve."""
    canary = endpoint.serving.canary
    share = canary.percent if canary else canary_percent
    version = version_of(find_saved_model(model))
    return endpoint.ready and share == canary_percent and endpoint.serving.newest.version == version
