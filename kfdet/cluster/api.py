"""The Kubernetes API server: the few requests that a deployment needs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kfdet.cluster import names
from kfdet.cluster.refusals import (
    ClusterUnreachableError,
    NoSuchObjectError,
    Request,
    explain,
)
from kfdet.cluster.releases import parse_release
from kfdet.errors import KfdetError

Manifest = dict[str, Any]
"""A Kubernetes object as its API gives and takes it."""

_TIMEOUT = (5, 30)
"""Seconds to connect and to wait for an answer."""

_DELETION_SECONDS = 60
_TOKEN_SECONDS = 3600
"""Longer than a deployment takes."""

_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace of a cluster.

    Args:
        api: kubernetes.client.ApiClient.
        namespace: Where the endpoints are.
        inside: Whether this process runs in the cluster, so that it reaches its Services.
    """

    api: Any
    namespace: str
    inside: bool

    @property
    def _collection(self) -> str:
        return f"/apis/{names.API_VERSION}/namespaces/{quote(self.namespace)}/{names.PLURAL}"

    def get(self, name: str) -> Manifest | None:
        """One InferenceService; None where there is none of that name."""
        try:
            found: Manifest = self._request("GET", f"{self._collection}/{quote(name)}")
        except NoSuchObjectError:
            return None
        return found

    def services(self) -> list[Manifest]:
        """All InferenceServices, also those that kfdet has not made."""
        items: list[Manifest] = self._request("GET", self._collection)["items"]
        return items

    def endpoints(self) -> list[Manifest]:
        """The InferenceServices that kfdet made."""
        query = {"labelSelector": f"{names.MANAGED_LABEL}={names.MANAGED_BY}"}
        items: list[Manifest] = self._request("GET", self._collection, query)["items"]
        return items

    def apply(self, manifest: Manifest, *, force: bool = False, dry_run: bool = False) -> Manifest:
        """Create or change an InferenceService by server-side apply.

        Args:
            manifest: All fields that kfdet sets; with a resourceVersion, only that version of
                the object is changed.
            force: Overwrite fields that somebody else has set to other values.
            dry_run: Only check whether the cluster accepts it.

        Raises:
            InputError: Somebody else has set a field, and `force` is not given.
            ConflictError: The object has another resourceVersion.
        """
        query = {"fieldManager": names.FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{self._collection}/{quote(manifest['metadata']['name'])}"
        applied: Manifest = self._request("PATCH", path, query, manifest)
        if "deletionTimestamp" in applied["metadata"]:
            # The object is being deleted, and the change would go with it.
            self._wait_until_gone(applied["metadata"]["name"])
            applied = self._request("PATCH", path, query, manifest)
        return applied

    def annotate_status(self, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of an InferenceService's status (knative.dev/pkg, duckv1.Status).

        KServe keeps them and, unlike those of the metadata, does not copy them to the pods. As a
        merge patch, because KServe's smaller CRD makes the status one field for server-side apply.
        """
        path = f"{self._collection}/{quote(name)}/status"
        self._request(
            "PATCH", path, body={"status": {"annotations": dict(annotations)}}, kind=_MERGE
        )

    def delete(self, name: str) -> None:
        """Delete an InferenceService, if it exists, and wait until it is gone."""
        try:
            self._request("DELETE", f"{self._collection}/{quote(name)}")
        except NoSuchObjectError:
            return
        self._wait_until_gone(name)

    def _wait_until_gone(self, name: str) -> None:
        """Wait for KServe, which cleans up before an InferenceService disappears."""
        deadline = time.monotonic() + _DELETION_SECONDS
        while self.get(name):
            if time.monotonic() > deadline:
                raise KfdetError(
                    f"InferenceService {name} still exists {_DELETION_SECONDS} s after its "
                    "deletion. Is KServe's controller running (kubectl get pods -n kserve)?"
                )
            time.sleep(0.2)

    def protect(self, name: str, owner: Manifest) -> None:
        """Let a node be drained of one pod of an InferenceService at a time.

        Args:
            name: The InferenceService.
            owner: Its manifest as the API server gives it; the PodDisruptionBudget goes with it.
        """
        reference = {
            "apiVersion": names.API_VERSION,
            "kind": "InferenceService",
            "name": name,
            "uid": owner["metadata"]["uid"],
        }
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {
                "name": name,
                "labels": {names.MANAGED_LABEL: names.MANAGED_BY},
                "ownerReferences": [reference],
            },
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {names.POD_LABEL: name}}},
        }
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        self._request("PATCH", self._budget(name), query, budget)

    def unprotect(self, name: str) -> None:
        """Delete the PodDisruptionBudget of an InferenceService, which would block with one pod."""
        with contextlib.suppress(NoSuchObjectError):
            self._request("DELETE", self._budget(name))

    def _budget(self, name: str) -> str:
        namespace = quote(self.namespace)
        return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{quote(name)}"

    def pods(self, name: str) -> list[Manifest]:
        """The pods of an InferenceService."""
        query = {"labelSelector": f"{names.POD_LABEL}={name}"}
        path = f"/api/v1/namespaces/{quote(self.namespace)}/pods"
        items: list[Manifest] = self._request("GET", path, query)["items"]
        return items

    def has_group(self, group: str) -> bool:
        """Whether the cluster knows an API group."""
        groups = self._request("GET", "/apis")["groups"]
        return any(entry["name"] == group for entry in groups)

    def endpoint_has_field(self, *path: str) -> bool:
        """Whether an InferenceService's spec has the field at `path`, or allows any there."""
        document = self._request("GET", f"/openapi/v3/apis/{names.API_VERSION}")
        for schema in document["components"]["schemas"].values():
            kinds = schema.get("x-kubernetes-group-version-kind") or []
            if any(kind["kind"] == "InferenceService" for kind in kinds):
                return _has_field(schema, "spec", *path)
        return True

    def config_map(self, name: str) -> dict[str, str] | None:
        """The data of a ConfigMap of the namespace; None where it cannot be read."""
        path = f"/api/v1/namespaces/{quote(self.namespace)}/configmaps/{name}"
        try:
            found: dict[str, str] = self._request("GET", path).get("data") or {}
        except (KfdetError, NoSuchObjectError):
            return None
        return found

    def kserve_version(self) -> str:
        """The version of KServe, as its controller's image says; "" where that cannot be read.

        A full Kubeflow has it in another namespace than KServe's own manifests.
        """
        for namespace in ("kserve", names.NAMESPACE):
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/kserve-controller-manager"
            try:
                pod = self._request("GET", path)["spec"]["template"]["spec"]
            except (KfdetError, NoSuchObjectError):  # most users may not
                continue
            for container in pod["containers"]:
                image, _, tag = container["image"].partition("@")[0].rpartition(":")
                if "kserve-controller" in image and parse_release(tag):
                    return str(tag)
        return ""

    def kserve_configuration(self) -> dict[str, Any] | None:
        """KServe's ingress settings; None where they cannot be read."""
        try:
            settings = self._request(
                "GET", "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"
            )
            ingress: dict[str, Any] = json.loads(settings["data"]["ingress"])
        except ClusterUnreachableError:
            raise
        except (KfdetError, KeyError, ValueError):
            return None
        return ingress

    def post_to_service(self, service: str, path: str, body: Manifest) -> Any:
        """The answer of a Service of the namespace, through the API server's proxy."""
        namespace = quote(self.namespace)
        proxy = f"/api/v1/namespaces/{namespace}/services/{service}/proxy/{path}"
        return self._request("POST", proxy, body=body)

    def request_token(self, account: str) -> str:
        """A token of a ServiceAccount of the namespace, which expires after an hour.

        Raises:
            InputError: There is no such account, or this one may not ask for its tokens.
        """
        namespace = quote(self.namespace)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{quote(account)}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        return str(self._request("POST", path, body=body)["status"]["token"])

    def metrics_of_pod(self, pod: str) -> str:
        """A serving pod's metrics in Prometheus' text format, through the API server's proxy."""
        path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{pod}:{names.REST_PORT}/proxy"
        text: str = self._request("GET", f"{path}{names.METRICS_PATH}", answer="str")
        return text

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        kind: str = _APPLY,
        answer: str = "object",
    ) -> Any:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json" if answer == "object" else "text/plain"}
        if method == "PATCH":
            headers["Content-Type"] = kind
        elif body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return self.api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                response_type=answer,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
        except ApiException as error:
            raise explain(error, Request(method, path, self.namespace, self.inside)) from error
        except urllib3.exceptions.HTTPError as error:
            cause = str(getattr(error, "reason", None) or error).rpartition("): ")[2].rstrip(".")
            raise ClusterUnreachableError(
                f"the Kubernetes API server {self.api.configuration.host} cannot be reached: "
                f"{cause}. Is the cluster up, and is it the one you mean (kubectl config "
                "current-context)?"
            ) from error


def _has_field(schema: Mapping[str, Any], *path: str) -> bool:
    """Whether an OpenAPI schema has a field; one without any properties allows all."""
    fields = schema.get("properties") or {}
    if not path or not fields:
        return True
    return path[0] in fields and _has_field(fields[path[0]], *path[1:])
