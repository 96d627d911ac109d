"""Registering deployed versions in the Kubeflow Model Registry.

Source of paths and fields: api/openapi/model-registry.yaml of kubeflow/model-registry (v1alpha3).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from kfdet.deployment.endpoint import Release
from kfdet.errors import KfdetError
from kfdet.events import emit, warn

SERVICE = "http://model-registry-service.kubeflow.svc.cluster.local:8080"
"""Where a full Kubeflow has its registry; only pods can resolve the name."""

TOKEN_VARIABLE = "KFDET_REGISTRY_TOKEN"  # noqa: S105
_API = "api/model_registry/v1alpha3"
_TIMEOUT = (3, 20)
_STRING, _DOUBLE = "MetadataStringValue", "MetadataDoubleValue"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a release comes from and where it is served.

    Args:
        endpoint: The endpoint, which is also the name of the registered model.
        namespace: Its namespace.
    """

    endpoint: str
    namespace: str


def find_registry(address: str, *, inside: bool) -> str:
    """The registry's address; "" where there is none.

    Args:
        address: What the user says: a URL, "none", or "" to look for Kubeflow's own.
        inside: Whether this process runs in the cluster.
    """
    if address:
        return "" if address == "none" else address.rstrip("/")
    if not inside:
        return ""
    try:
        socket.getaddrinfo(urlsplit(SERVICE).hostname, None)
    except OSError:
        return ""
    return SERVICE


def register(registry: str, origin: Origin, release: Release) -> None:
    """Register a release as a version of its endpoint's model; what is there already is kept.

    Failing is a warning: the endpoint serves all the same.

    Args:
        registry: Address of the registry.
        origin: Where it is served.
        release: What is served.
    """
    try:
        with requests.Session() as session:
            token = os.environ.get(TOKEN_VARIABLE, "").strip()
            if token:
                session.headers["authorization"] = f"Bearer {token}"
            _register(session, f"{registry}/{_API}", origin, release)
    except (requests.RequestException, KfdetError, KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, KfdetError) else type(error).__name__
        warn(
            f"Version {release.version} of {origin.endpoint} could not be registered at "
            f"{registry}: {reason}"
        )
    else:
        emit(
            "info",
            message=f"registered version {release.version} of {origin.endpoint} at {registry}",
        )


def _register(session: requests.Session, api: str, origin: Origin, release: Release) -> None:
    name = f"{origin.namespace}/{origin.endpoint}"
    model = _find_or_create(
        session,
        f"{api}/registered_model",
        {"name": name},
        f"{api}/registered_models",
        {"name": name, "description": "Object detector of kfdet", "state": "LIVE"},
    )
    version = _find_or_create(
        session,
        f"{api}/model_version",
        {"name": release.version, "parentResourceId": model["id"]},
        f"{api}/model_versions",
        {
            "name": release.version,
            "registeredModelId": model["id"],
            "state": "LIVE",
            "customProperties": _properties(release),
        },
    )
    _find_or_create(
        session,
        f"{api}/model_artifact",
        {"name": "saved-model", "parentResourceId": version["id"]},
        f"{api}/model_versions/{version['id']}/artifacts",
        {
            "artifactType": "model-artifact",
            "name": "saved-model",
            "uri": release.storage_uri,
            "modelFormatName": "tensorflow",
            "modelFormatVersion": "2",
            "state": "LIVE",
            **_source(origin, release),
        },
    )


def _source(origin: Origin, release: Release) -> dict[str, str]:
    """Which run made the model, in the fields that the registry has for Kubeflow Pipelines."""
    if not release.run:
        return {}
    return {
        "modelSourceKind": "pipelines",
        "modelSourceClass": "pipelinerun",
        "modelSourceGroup": origin.namespace,
        "modelSourceId": release.run,
    }


def _properties(release: Release) -> dict[str, dict[str, Any]]:
    texts = {"run": release.run, "dataset": release.dataset, "start": release.start}
    return {
        **{
            name: {"metadataType": _STRING, "string_value": text}
            for name, text in texts.items()
            if text
        },
        **{
            name: {"metadataType": _DOUBLE, "double_value": float(value)}
            for name, value in release.metrics.items()
        },
    }


def _find_or_create(
    session: requests.Session,
    search: str,
    query: dict[str, str],
    collection: str,
    body: dict[str, Any],
) -> dict[str, Any]:
    """The resource that a search finds, or a new one."""
    found = session.get(search, params=query, timeout=_TIMEOUT)
    if found.status_code == requests.codes.not_found:
        found = session.post(collection, json=body, timeout=_TIMEOUT)
    if not found.ok:
        raise KfdetError(f"{found.request.method} answers {found.status_code}: {_message(found)}.")
    resource: dict[str, Any] = found.json()
    return resource


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"]).rstrip(".")
    except (KeyError, TypeError, ValueError):
        return response.reason or "no reason"
