"""The logs of the pods of a run."""

from __future__ import annotations

from typing import Any

from kfdet.cluster.connection import load_kubeconfig
from kfdet.errors import InputError
from kfdet.kubeflow.backend import Answer, Backend

_LINES = 400


class Logs:
    """Reads logs through Kubeflow Pipelines, else through Kubernetes.

    On an installation for one user KFP 2.17 fails, because it asks for the pod without a namespace.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._core: Any = None

    def read(self, workflow: Answer, run_id: str, pod: str) -> str:
        """The end of a pod's log; "" if it cannot be read from here."""
        if not pod:
            return ""
        if not self._core:
            if log := self._backend.log(run_id, pod):
                return log
            self._core = _kubernetes()
        namespace = workflow.get("metadata", {}).get("namespace", "")
        if not self._core or not namespace:
            return ""
        return _read(self._core, pod, namespace)


def _kubernetes() -> Any:
    """Kubernetes's core API; None without a usable kubeconfig."""
    from kubernetes import client

    settings = client.Configuration()
    try:
        load_kubeconfig(settings)
    except InputError:
        return None
    return client.CoreV1Api(client.ApiClient(settings))


def _read(core: Any, pod: str, namespace: str) -> str:
    import urllib3
    from kubernetes.client import ApiException

    try:
        return str(
            core.read_namespaced_pod_log(
                pod, namespace, container="main", tail_lines=_LINES, _request_timeout=(5, 30)
            )
        )
    except (ApiException, urllib3.exceptions.HTTPError):  # not started, gone, or not ours to read
        return ""
