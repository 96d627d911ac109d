from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def core() -> Any:
    """Kubernetes's core API, with the rights of the kubeconfig."""
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()
