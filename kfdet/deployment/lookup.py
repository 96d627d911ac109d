"""An endpoint by its name, and a client of it."""

from __future__ import annotations

from collections.abc import Mapping

from kfdet.cluster.api import Cluster
from kfdet.cluster.connection import connect
from kfdet.deployment.endpoint import Endpoint
from kfdet.deployment.inference_service import is_managed, read
from kfdet.detection import Detector
from kfdet.errors import InputError
from kfdet.parameters import ENDPOINT_START


def find_endpoint(name: str, namespace: str = "") -> tuple[Cluster, Endpoint]:
    """The endpoint of this name, and the cluster that it is on.

    Args:
        name: The endpoint.
        namespace: Its namespace; "": as `kfdet.cluster.connection.connect` finds it.

    Raises:
        InputError: There is no such endpoint.
    """
    cluster = connect(namespace)
    manifest = cluster.get(name) if name else None
    if manifest is None or not is_managed(manifest):
        raise InputError(
            f"kfdet serves no endpoint of this name in the namespace {cluster.namespace}.",
            file=f"endpoint:{name}",
            hint="`kfdet endpoints` lists them.",
        )
    return cluster, read(manifest)


def open_client(
    name: str, namespace: str, url: str, threshold: float | Mapping[str, float] | None
) -> Detector:
    """The detector behind an endpoint, with the threshold that its evaluation recommends.

    Args:
        name: The endpoint.
        namespace: As for `find_endpoint`.
        url: Its address; "": the one inside the cluster for a pod, else the one outside.
        threshold: In place of the recommended one.

    Raises:
        InputError: There is no such endpoint.
    """
    cluster, endpoint = find_endpoint(name, namespace)
    address = url or _address(cluster, endpoint)
    recommended = endpoint.serving.stable.thresholds
    if threshold is None and recommended:
        threshold = recommended.overall
    return Detector.load(address, name=name, threshold=threshold)


def find_address(model: str, namespace: str = "") -> str:
    """The address of `endpoint:NAME`; another model stays as it is.

    Args:
        model: The endpoint or model.
        namespace: As for `find_endpoint`.

    Raises:
        InputError: There is no such endpoint.
    """
    if not model.startswith(ENDPOINT_START):
        return model
    name = model.removeprefix(ENDPOINT_START)
    return f"{_address(*find_endpoint(name, namespace)).rstrip('/')}/v1/models/{name}"


def _address(cluster: Cluster, endpoint: Endpoint) -> str:
    """The address inside the cluster for a pod, else the one outside."""
    address = (cluster.inside and endpoint.address) or endpoint.url
    if not address:
        raise InputError(
            "has no address yet.",
            file=f"endpoint:{endpoint.name}",
            hint="`kfdet endpoints` shows its state.",
        )
    return address
