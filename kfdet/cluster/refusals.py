"""Refusals of the Kubernetes API server as exceptions that name the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kfdet.cluster import names
from kfdet.errors import InputError, KfdetError

TRANSIENT_STATUSES = (429, 500, 502, 503, 504)
"""Answers of the API server while it is throttled, or etcd chooses another leader."""

_MANIFESTS = "kubectl apply -k manifests/overlays/standalone"


class ClusterUnreachableError(KfdetError):
    """The API server, or the Service behind it, does not answer; it may in a moment."""


class ConflictError(KfdetError):
    """An object has changed since it was read."""


class NoSuchObjectError(Exception):
    """The cluster knows the kind of the object, but has none of that name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Args:
        method: HTTP method.
        path: Path on the API server.
        namespace: Namespace of the endpoints.
        inside: Whether it was asked from a pod.
    """

    method: str
    path: str
    namespace: str
    inside: bool

    @property
    def concerns_endpoints(self) -> bool:
        """Whether it is about InferenceServices."""
        return names.PLURAL in self.path


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The answer: HTTP status, its message without a full stop, details of metav1.Status."""

    status: int
    message: str
    details: dict[str, Any]


def explain(error: Any, request: Request) -> Exception:
    """The exception for a refusal; a NoSuchObjectError where only the object is missing.

    Source of the format: metav1.Status of Kubernetes' apimachinery.

    Args:
        error: kubernetes.client.ApiException.
        request: The refused request.
    """
    try:
        body: dict[str, Any] = json.loads(error.body)
    except (TypeError, ValueError):
        body = {}
    message = str(body.get("message") or error.reason).rstrip(".")
    refusal = _Refusal(error.status, message, body.get("details") or {})
    for cause in _CAUSES:
        if (explained := cause(refusal, request)) is not None:
            return explained
    # A 500 to a POST comes from the model server itself.
    transient = refusal.status in TRANSIENT_STATUSES and (refusal.status, request.method) != (
        500,
        "POST",
    )
    kind = ClusterUnreachableError if transient else KfdetError
    return kind(f"the Kubernetes API server refused ({refusal.status}): {message}.")


def _unknown_user(refusal: _Refusal, request: Request) -> Exception | None:
    if refusal.status != 401:
        return None
    return InputError(
        "the Kubernetes API server does not accept your credentials.",
        hint="Log in to the cluster again.",
    )


def _forbidden(refusal: _Refusal, request: Request) -> Exception | None:
    if refusal.status != 403 or "exceeded quota" in refusal.message:
        return None
    return InputError(
        f"the cluster does not allow it: {refusal.message}.",
        hint=f"{_MANIFESTS} creates the account that may do it ({names.DEPLOYER_ACCOUNT}), "
        "in one namespace."
        if request.inside
        else "Is it the right namespace (-n)? If so, ask the cluster's administrator for a Role.",
    )


def _missing(refusal: _Refusal, request: Request) -> Exception | None:
    if refusal.status != 404:
        return None
    if refusal.details.get("kind") == "namespaces":
        return InputError(
            f"there is no namespace {request.namespace}.",
            hint="Choose another with -n (--namespace).",
        )
    if refusal.details.get("kind") == "serviceaccounts":
        return InputError(
            f"{refusal.message} in the namespace {request.namespace}.",
            hint=f"{_MANIFESTS} creates the account.",
        )
    if refusal.details.get("kind") == "poddisruptionbudgets":
        return NoSuchObjectError(refusal.message)
    if not request.concerns_endpoints:
        return None
    if refusal.details.get("name"):
        return NoSuchObjectError(refusal.message)
    return InputError(
        f"the cluster does not know InferenceServices ({names.API_VERSION}).",
        hint="Install KServe (https://kserve.github.io), or train without a deployment by "
        'leaving the parameter endpoint empty ("").',
    )


def _conflict(refusal: _Refusal, request: Request) -> Exception | None:
    if refusal.status != 409 or request.method != "PATCH":
        return None
    name, causes = request.path.rsplit("/", 1)[-1], refusal.details.get("causes")
    if not causes:
        return ConflictError(f"{name} changes too often: {refusal.message}.")
    fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in causes)
    return InputError(
        f"somebody else has changed {name}: {fields}.",
        hint="Look at it with `kubectl get isvc -o yaml --show-managed-fields`; "
        "`kfdet deploy --force` overwrites these fields.",
    )


def _webhook(refusal: _Refusal, request: Request) -> Exception | None:
    if "failed calling webhook" not in refusal.message:
        return None
    return KfdetError(
        f"KServe does not answer: {refusal.message}. Is its controller running (kubectl get pods "
        "-n kserve)?"
    )


_CAUSES: tuple[Callable[[_Refusal, Request], Exception | None], ...] = (
    _unknown_user,
    _forbidden,
    _missing,
    _conflict,
    _webhook,
)
