"""The Kubernetes API server: the few requests a deployment needs, each refusal in clear words."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kfdet.cluster import names
from kfdet.deployment.endpoint import Manifest
from kfdet.errors import InputError, KfdetError

_TIMEOUT = (5, 30)
"""Seconds to connect and to wait for an answer."""

_PASSING = (429, 500, 502, 503, 504)
"""What the API server answers while it is throttled, or etcd chooses another leader."""

_DELETION_SECONDS = 60

_MANIFESTS = "kubectl apply -k manifests/overlays/standalone"


class UnreachableError(KfdetError):
    """The API server, or what it was to ask, does not answer; it may in a moment."""


class ConflictError(KfdetError):
    """An object is not any more what it was when it was read."""


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
        except _NoSuchObjectError:
            return None
        return found

    def endpoints(self) -> list[Manifest]:
        """The InferenceServices that kfdet made."""
        query = {"labelSelector": f"{names.MANAGED_LABEL}={names.MANAGED_BY}"}
        items: list[Manifest] = self._request("GET", self._collection, query)["items"]
        return items

    def apply(self, manifest: Manifest, *, force: bool = False, dry_run: bool = False) -> Manifest:
        """Create or change an InferenceService by server-side apply.

        Args:
            manifest: All that kfdet wants of it; with a resourceVersion, only of the object that
                was read with it.
            force: Take fields over that somebody else has set to other values.
            dry_run: Only find out whether the cluster would take it.

        Raises:
            InputError: Somebody else has, and `force` is not set.
            ConflictError: The object has another resourceVersion.
        """
        query = {"fieldManager": names.FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{self._collection}/{quote(manifest['metadata']['name'])}"
        applied: Manifest = self._request("PATCH", path, query, manifest)
        if "deletionTimestamp" in applied["metadata"]:
            # One of that name is on its way out and would take the change with it.
            self._wait_until_gone(applied["metadata"]["name"])
            applied = self._request("PATCH", path, query, manifest)
        return applied

    def delete(self, name: str) -> None:
        """Delete an InferenceService and wait until it is gone; fine when there is none."""
        try:
            self._request("DELETE", f"{self._collection}/{quote(name)}")
        except _NoSuchObjectError:
            return
        self._wait_until_gone(name)

    def _wait_until_gone(self, name: str) -> None:
        """Wait for KServe, which tidies up before an InferenceService may go."""
        deadline = time.monotonic() + _DELETION_SECONDS
        while self.get(name):
            if time.monotonic() > deadline:
                raise KfdetError(
                    f"InferenceService {name} has been going for {_DELETION_SECONDS} s and is "
                    "still there. Is KServe's controller running (kubectl get pods -n kserve)?"
                )
            time.sleep(0.2)

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

    def endpoint_has_field(self, name: str) -> bool:
        """Whether an InferenceService's spec has a field, or any field one likes."""
        document = self._request("GET", f"/openapi/v3/apis/{names.API_VERSION}")
        for schema in document["components"]["schemas"].values():
            kinds = schema.get("x-kubernetes-group-version-kind") or []
            if any(kind["kind"] == "InferenceService" for kind in kinds):
                fields = schema.get("properties", {}).get("spec", {}).get("properties", {})
                return not fields or name in fields
        return True

    def kserve_configuration(self) -> dict[str, Any] | None:
        """KServe's settings of ingress; None where they may not be read or are elsewhere."""
        try:
            settings = self._request(
                "GET", "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"
            )
            ingress: dict[str, Any] = json.loads(settings["data"]["ingress"])
        except UnreachableError:
            raise
        except (KfdetError, KeyError, ValueError):
            return None
        return ingress

    def post_to_service(self, service: str, path: str, body: Manifest) -> Any:
        """What a Service of the namespace answers, asked by the API server."""
        namespace = quote(self.namespace)
        proxy = f"/api/v1/namespaces/{namespace}/services/{service}/proxy/{path}"
        return self._request("POST", proxy, body=body)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
    ) -> Any:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = "application/apply-patch+yaml"
        elif body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return self.api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
        except ApiException as error:
            raise _explain(error, method, path, self) from error
        except urllib3.exceptions.HTTPError as error:
            cause = str(getattr(error, "reason", None) or error).rpartition("): ")[2].rstrip(".")
            raise UnreachableError(
                f"The Kubernetes API server {self.api.configuration.host} cannot be reached: "
                f"{cause}. Is the cluster up, and is it the one you mean (kubectl config "
                "current-context)?"
            ) from error


def connect(namespace: str = "", *, deployer: Path = names.DEPLOYER_FOLDER) -> Cluster:
    """The cluster that this process may deploy to.

    In a pod: with the token of the deployer account where it is mounted, else with the pod's own
    account. Elsewhere: with the user's kubeconfig.

    Args:
        namespace: The namespace; "": the pod's own, or that of the kubeconfig's context, or
            names.NAMESPACE where the context has none.
        deployer: Where the deployer account's token is mounted: token, ca.crt, namespace.

    Raises:
        InputError: There is no way to a cluster.
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
        InputError: There is none, or it is not usable.
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
        status_forcelist=_PASSING,
        raise_on_status=False,  # the last answer says more
        # All that gives the same when it is done twice; a POST asks a model.
        allowed_methods=["GET", "PATCH", "DELETE"],
    )
    return client.ApiClient(settings)


class _NoSuchObjectError(Exception):
    """The kind is known, the object is not there."""


def _explain(error: Any, method: str, path: str, cluster: Cluster) -> Exception:
    """The API server's refusal as an exception that says what to do.

    Source of the format: metav1.Status of Kubernetes' apimachinery.
    """
    try:
        status: dict[str, Any] = json.loads(error.body)
    except (TypeError, ValueError):
        status = {}
    details = status.get("details") or {}
    message = str(status.get("message") or error.reason).rstrip(".")
    endpoints = names.PLURAL in path
    if error.status == 401:
        return InputError(
            "the Kubernetes API server does not accept your credentials.",
            hint="Log in to the cluster again; in a pipeline: does the Secret "
            f"{names.DEPLOYER_TOKEN} belong to this cluster?",
        )
    if error.status == 403 and "exceeded quota" not in message:
        return InputError(
            f"the cluster does not allow it: {message}.",
            hint=f"{_MANIFESTS} makes the account that may ({names.DEPLOYER_ACCOUNT}), in one "
            "namespace."
            if cluster.inside
            else "Is it the right namespace (-n)? Else ask whoever runs the cluster for a Role.",
        )
    if error.status == 404 and details.get("kind") == "namespaces":
        return InputError(
            f"there is no namespace {cluster.namespace}.",
            hint="Choose another with -n (--namespace).",
        )
    if error.status == 404 and endpoints and not details.get("name"):
        return InputError(
            f"the cluster does not know InferenceServices ({names.API_VERSION}).",
            hint="Install KServe (https://kserve.github.io), or train without a deployment by "
            'leaving the parameter endpoint empty ("").',
        )
    if error.status == 404 and endpoints:
        return _NoSuchObjectError(message)
    if error.status == 409 and method == "PATCH":
        name, causes = path.rsplit("/", 1)[-1], details.get("causes")
        if not causes:
            return ConflictError(f"{name} changes too often: {message}.")
        fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in causes)
        return InputError(
            f"somebody else has changed {name}: {fields}.",
            hint="Look at it with `kubectl get isvc -o yaml --show-managed-fields`; "
            "`kfdet deploy --force` takes these fields over.",
        )
    if "failed calling webhook" in message:
        return KfdetError(
            f"KServe does not answer: {message}. Is its controller running (kubectl get pods "
            "-n kserve)?"
        )
    # A 500 to a POST is the model server's own.
    passing = error.status in _PASSING and (error.status, method) != (500, "POST")
    kind = UnreachableError if passing else KfdetError
    return kind(f"The Kubernetes API server refused ({error.status}): {message}.")
