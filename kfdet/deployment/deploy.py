"""From a SavedModel on disk to an endpoint that serves it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kfdet.cluster.api import Cluster
from kfdet.deployment.endpoint import Endpoint, Release
from kfdet.deployment.publish import publish, version_of
from kfdet.deployment.registry import Origin, register
from kfdet.deployment.rollout import Options, check_deployment, roll_out
from kfdet.deployment.smoke_test import LabelledPicture, smoke_test
from kfdet.detection.saved_model import find_saved_model, read_model_json, read_thresholds
from kfdet.files import read_json_as


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures of the evaluation that an endpoint's annotations carry."""

    AP: Annotated[float, Field(ge=0, le=1)] | None = None
    AP50: Annotated[float, Field(ge=0, le=1)] | None = None


def deploy(
    cluster: Cluster,
    model: Path,
    name: str,
    *,
    model_root: str,
    metrics: dict[str, float],
    pictures: Sequence[LabelledPicture],
    options: Options,
    bundle: Path | None = None,
    comparison: Mapping[str, Any] | None = None,
    started: str = "",
    run: str = "",
    dataset: str = "",
    registry: str = "",
) -> Endpoint:
    """Serve a model under a name; if anything fails, the endpoint stays as it was.

    Args:
        cluster: Where to deploy.
        model: Folder with numbered versions of a SavedModel.
        name: The endpoint.
        model_root: Bucket path with all deployed versions.
        metrics: Figures of its evaluation, as `read_figures` gives them.
        pictures: For the smoke test, before the model gets requests.
        options: How to deploy.
        bundle: The run's model.zip, so that another training can start from what is served.
        comparison: With what the endpoint served before, for its annotations (fields of
            `kfdet.evaluation.comparison.Comparison`).
        started: When the model's run was started, or that somebody deploys it by hand.
        run: The run that trained it.
        dataset: Fingerprint of the dataset that it learned from.
        registry: Address of the Kubeflow Model Registry that lists what is served; "": none.

    Returns:
        The endpoint afterwards.

    Raises:
        InputError: The model, name, bucket or cluster prevents it.
        KfdetError: The model does not become ready, or fails the smoke test.
    """
    saved_model = find_saved_model(model)
    current = check_deployment(cluster, name, options.canary_percent)
    version = version_of(saved_model)
    uri = publish(saved_model, model_root, name, version, bundle)
    thresholds = read_thresholds(saved_model)
    promotion = json.loads(json.dumps(comparison or {}))  # as it is read back, without tuples
    release = Release(
        version, uri, metrics, thresholds, _start(model), promotion, started, run, dataset
    )
    test = functools.partial(smoke_test, cluster, pictures)
    served = roll_out(cluster, name, current, release, options, test)
    if registry:
        register(registry, Origin(name, cluster.namespace), release)
    return served


def _start(model: Path) -> str:
    """What the training of a model started from; "" where its model.json does not say."""
    return str(read_model_json(model).get("start", {}).get("pretrained", ""))


def read_figures(path: Path) -> dict[str, float]:
    """The few figures of a metrics.json that an endpoint carries.

    Raises:
        InputError: The file cannot be read or is not a JSON object with such figures.
    """
    found = asdict(read_json_as(path, _Figures, hint="Is it a metrics.json?"))
    return {name: round(value, 4) for name, value in found.items() if value is not None}
