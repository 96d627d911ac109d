"""Whether a cluster can route a share of the requests to a new version."""

from __future__ import annotations

from kfdet.cluster.api import Cluster
from kfdet.deployment.endpoint import Mode, is_standard
from kfdet.errors import InputError

_GATEWAY_GROUP = "gateway.networking.k8s.io"
_HINT = "Deploy without --canary-percent: the new version is tested before it gets requests."


def check_canary(cluster: Cluster, mode: Mode | None) -> None:
    """Refuse a canary where the cluster cannot share requests.

    KServe shares them through Knative's revisions or, since 0.20 and with plain Deployments,
    through the weights of a Gateway API HTTPRoute.

    Args:
        cluster: The cluster.
        mode: How KServe runs the endpoint.

    Raises:
        InputError: Names what is missing.
    """
    if mode and not is_standard(mode):
        return
    settings = cluster.kserve_configuration()
    if not cluster.has_group(_GATEWAY_GROUP):
        raise InputError(
            "this cluster cannot share requests between two versions: KServe runs plain "
            "Deployments here, and there is no Gateway API.",
            hint=_HINT,
        )
    if settings is not None and not settings.get("enableGatewayApi"):
        raise InputError(
            "this cluster cannot share requests between two versions: KServe runs plain "
            "Deployments here and does not use the Gateway API (enableGatewayApi is false in its "
            "ConfigMap inferenceservice-config).",
            hint=_HINT,
        )
    if not cluster.endpoint_has_field("canary"):
        raise InputError(
            "this cluster cannot share requests between two versions: its KServe is older than "
            "0.20, the first with spec.canary for plain Deployments.",
            hint=_HINT,
        )
