"""The way to a cluster: from a pod with a mounted token, or with the user's kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.cluster.refusals import TRANSIENT_STATUSES
from kfdet.errors import InputError


def connect(namespace: str = "", *, deployer: Path = names.DEPLOYER_FOLDER) -> Cluster:
    """The cluster that this process may deploy to.

    In a pod: with the token of the deployer account where it is mounted, else with the pod's own
    account. Elsewhere: with the user's kubeconfig.

    Args:
        namespace: The namespace; "": the pod's own, or that of the kubeconfig's context, or
            names.NAMESPACE where the context has none.
        deployer: Where the deployer account's token is mounted: token, ca.crt, namespace.

    Raises:
        InputError: No cluster is configured.
    """
    from kubernetes import client, config

    if (deployer / "token").exists():
        settings = client.Configuration()
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        host = f"[{host}]" if ":" in host else host
        settings.host = f"https://{host}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        settings.ssl_ca_cert = str(deployer / "ca.crt")
        settings.api_key["authorization"] = f"Bearer {(deployer / 'token').read_text().strip()}"
        own = (deployer / "namespace").read_text().strip()
        return Cluster(_client(settings), namespace or own, inside=True)

    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        own = load_kubeconfig(settings)
        return Cluster(_client(settings), namespace or own or names.NAMESPACE, inside=False)
    own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    return Cluster(_client(settings), namespace or own, inside=True)


def load_kubeconfig(settings: Any) -> str:
    """Fill an API client's `settings` from the user's kubeconfig.

    Returns:
        The namespace of its context or "".

    Raises:
        InputError: There is no kubeconfig, or it is not usable.
    """
    import yaml
    from kubernetes import config

    where = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        config.load_kube_config(where, client_configuration=settings)
        _, context = config.list_kube_config_contexts(where)
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        missing = not any(Path(name).expanduser().exists() for name in where.split(os.pathsep))
        raise InputError(
            "there is no kubeconfig."
            if missing
            else f"the kubeconfig is not usable: {' '.join(str(error).split())}.",
            file=where,
            hint="Set KUBECONFIG to the file that kubectl works with.",
        ) from error
    return str(context["context"].get("namespace") or "")


def _client(settings: Any) -> Any:
    import urllib3
    from kubernetes import client

    settings.retries = urllib3.Retry(
        4,
        connect=2,
        read=2,
        other=2,
        backoff_factor=0.5,
        status_forcelist=TRANSIENT_STATUSES,
        raise_on_status=False,  # the last answer says more
        # Only what may be repeated; a POST asks a model.
        allowed_methods=["GET", "PATCH", "DELETE"],
    )
    return client.ApiClient(settings)
