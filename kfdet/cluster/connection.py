"""The way to a cluster: from a pod with its ServiceAccount, or with the user's kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.cluster.refusals import TRANSIENT_STATUSES
from kfdet.errors import InputError

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(namespace: str = "") -> Cluster:
    """The cluster that this process may use: in a pod with its account, else by the kubeconfig.

    Args:
        namespace: The namespace; "": the pod's own, or that of the kubeconfig's context, or
            names.NAMESPACE where the context has none.

    Raises:
        InputError: No cluster is configured.
    """
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        own = load_kubeconfig(settings)
        return Cluster(_client(settings), namespace or own or names.NAMESPACE, inside=False)
    return Cluster(_client(settings), namespace or _POD_NAMESPACE.read_text().strip(), inside=True)


def connect_to_deploy(namespace: str = "") -> Cluster:
    """The cluster, in a pod as names.DEPLOYER_ACCOUNT of the pod's namespace; else as `connect`.

    The pod's own account may do no more there than ask for that account's token.

    Args:
        namespace: That of the endpoints; "": as `connect` finds it.

    Raises:
        InputError: No cluster is configured, or it has no such account.
    """
    from kubernetes import client

    own = connect()
    if not own.inside:
        return connect(namespace)
    settings = client.Configuration()
    settings.host = own.api.configuration.host
    settings.ssl_ca_cert = own.api.configuration.ssl_ca_cert
    token = own.request_token(names.DEPLOYER_ACCOUNT)
    settings.api_key["authorization"] = f"Bearer {token}"
    return Cluster(_client(settings), namespace or own.namespace, inside=True)


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
