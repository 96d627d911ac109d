"""Deployment: the exported model behind an InferenceService, once it is good enough."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from kfdet.cluster.parameters import ServingSettings
from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def deployment(
    saved_model: dsl.Input[dsl.Model],
    metrics: dsl.Input[dsl.Metrics],
    records: dsl.Input[dsl.Dataset],
    bundle: dsl.Input[dsl.Artifact],
    outcome: dsl.Output[dsl.Artifact],
    endpoint: str,
    serving_namespace: str,
    model_root: str,
    canary_percent: int,
    promote: str,
    rival: str,
    serving: ServingSettings,
    run: str,
    dataset: str,
    model_registry: str,
    started: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", [("url", str), ("version", str), ("decision", str)]
):
    """Serve a model under a name; the previous version stays until the new one has answered.

    Args:
        saved_model: SavedModel in TensorFlow Serving's layout.
        metrics: metrics.json, for the record beside the endpoint.
        records: The TFRecords, for an image to test the endpoint with.
        bundle: The zip with the weights, for another training to start from.
        outcome: Which version the endpoint serves now, and why, as JSON.
        endpoint: Name of the InferenceService.
        serving_namespace: Its namespace; empty: that of the run.
        model_root: Bucket path that keeps every deployed version.
        canary_percent: Percentage of the requests that the new model gets; 0: all.
        promote: Required result of the comparison with what the endpoint serves: not-worse or
            better; always: none.
        rival: Bucket path of the model that the evaluation compared it with; empty: none.
        serving: How the endpoint is run.
        run: The ID of the run, for the record beside the endpoint.
        dataset: Fingerprint of the run's dataset, likewise.
        model_registry: Address of the Kubeflow Model Registry that lists it; empty: that of the
            cluster, if it has one.
        started: When the run was started; of two runs the one that was started later wins.

    Returns:
        The endpoint's URL, the version it serves, and why.
    """
    from kfdet.stages.deployment import deploy

    return deploy(
        Path(saved_model.path),
        Path(metrics.path),
        Path(records.path),
        Path(bundle.path),
        Path(outcome.path),
        endpoint=endpoint,
        serving_namespace=serving_namespace,
        model_root=model_root,
        canary_percent=canary_percent,
        promote=promote,  # type: ignore[arg-type]  # KFP knows text only
        rival=rival,
        serving=serving,
        run=run,
        dataset=dataset,
        model_registry=model_registry,
        started=started,
    )
