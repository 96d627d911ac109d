"""The weights of the model that an endpoint serves, for another training to start from."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from kfdet.deployment.lookup import find_endpoint
from kfdet.deployment.publish import bundle_uri
from kfdet.errors import InputError
from kfdet.parameters import ENDPOINT_START, TrainingSettings
from kfdet.storage.download import is_there

S = TypeVar("S", bound=TrainingSettings)


def with_located_start(settings: S, namespace: str = "") -> S:
    """The settings, with the bucket URI of its weights in place of an endpoint to start from.

    Args:
        settings: What to train.
        namespace: That of the endpoint; "": as `kfdet.cluster.connection.connect` finds it.

    Raises:
        InputError: There is no such endpoint, or no weights of what it serves.
    """
    if not settings.pretrained.startswith(ENDPOINT_START):
        return settings
    return replace(settings, pretrained=_weights_of(settings.pretrained, namespace))


def _weights_of(start: str, namespace: str) -> str:
    """URI of the model.zip of what an endpoint serves to most requests."""
    name = start.removeprefix(ENDPOINT_START)
    _, endpoint = find_endpoint(name, namespace)
    uri = bundle_uri(endpoint.serving.stable.storage_uri)
    if not is_there(uri):
        raise InputError(
            f"the weights of what it serves are not in the bucket ({uri}).",
            file=start,
            hint="It was deployed without a run; deploy a run's folder: kfdet deploy RUN --name "
            f"{name}.",
        )
    return uri
