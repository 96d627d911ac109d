"""An endpoint as the InferenceService that makes KServe serve it.

Source of the format: KServe's pkg/apis/serving/v1beta1 (0.15 to 0.20): inference_service.go,
component.go, inference_service_status.go, and for the modes' names inference_service_validation.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from kfdet.cluster import names
from kfdet.cluster.api import Manifest
from kfdet.deployment.capacity import NO_CAPACITY, Capacity, read_capacity, set_fields
from kfdet.deployment.endpoint import (
    Canary,
    Endpoint,
    Mode,
    Refusal,
    Release,
    Serving,
    is_standard,
)
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import KfdetError


def build(
    name: str, namespace: str, serving: Serving, mode: Mode, capacity: Capacity = NO_CAPACITY
) -> Manifest:
    """The InferenceService that serves `serving`; the same arguments give the same manifest.

    Args:
        name: The endpoint.
        namespace: Its namespace.
        serving: What it serves.
        mode: How KServe runs it.
        capacity: How many pods it has, and what each may use.
    """
    standard = is_standard(mode)
    annotations = {**_annotations(serving), names.MODE: mode}
    spec: Manifest = {"predictor": _predictor(serving.stable, standard)}
    if serving.canary and not standard:
        # Knative keeps the revision before this one for the rest of the requests.
        spec["predictor"] = {
            **_predictor(serving.canary.release, standard),
            "canaryTrafficPercent": serving.canary.percent,
        }
        annotations[names.CANARY] = _json(_release_fields(serving.canary.release))
    manifest: Manifest = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.MANAGED_LABEL: names.MANAGED_BY},
            "annotations": annotations,
        },
        "spec": spec,
    }
    set_fields(manifest, capacity.own)
    if serving.canary and standard:
        spec["canary"] = [_canary(serving.canary, capacity)]
    return manifest


def _annotations(serving: Serving) -> dict[str, str]:
    """What kfdet knows of the stable and the previous release.

    KServe copies the annotations of an InferenceService to the pods, so that any change replaces
    these: all of them belong to the stable release, and change together with it only.
    """
    stable = serving.stable
    annotations = {
        names.VERSION: stable.version,
        names.STORAGE_URI: stable.storage_uri,
        names.METRICS: _json(dict(stable.metrics)),
        names.RUNTIME_USED: stable.runtime,
    }
    if stable.thresholds:
        annotations[names.THRESHOLDS] = _json(asdict(stable.thresholds))
    if stable.promotion:
        annotations[names.PROMOTION] = _json(dict(stable.promotion))
    texts = {
        names.START: stable.start,
        names.STARTED: stable.started,
        names.RUN: stable.run,
        names.DATASET: stable.dataset,
    }
    annotations |= {name: text for name, text in texts.items() if text}
    if serving.previous:
        annotations[names.PREVIOUS] = _json(_release_fields(serving.previous))
    return annotations


def _predictor(release: Release, standard: bool) -> Manifest:
    model: Manifest = {
        "modelFormat": {"name": "tensorflow", "version": "2"},
        "protocolVersion": "v1",
        "runtime": release.runtime,
        "storageUri": release.storage_uri,
    }
    predictor: Manifest = {
        "serviceAccountName": names.SERVING_ACCOUNT,
        "model": model,
    }
    if standard:
        # The first port becomes port 80 of the Service. Knative takes one port only: its own.
        model["ports"] = [
            {"name": "http", "containerPort": names.REST_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.GRPC_PORT, "protocol": "TCP"},
        ]
        # The old pod goes only when the new one is ready, whatever the cluster's default.
        predictor["deploymentStrategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }
    return predictor


def _canary(canary: Canary, capacity: Capacity) -> Manifest:
    """A second predictor; KServe gives it pods in proportion to its share."""
    size: Manifest = {}
    set_fields(size, capacity.of_candidate(standard=False).own)
    sized = size.get("spec", {}).get("predictor", {}).get("model", {})
    predictor = _predictor(canary.release, standard=True)
    # What serves the canary is called NAME-PREDICTOR-predictor; a version may begin with a
    # digit, a predictor may not.
    predictor["name"] = f"v{canary.release.version}"
    # The schema of 0.20 asks for a name here and nowhere else; KServe's own one is right.
    predictor["model"] |= {"name": "kserve-container", **sized}
    # Here, because an annotation of the InferenceService would restart the stable pods.
    predictor["annotations"] = {names.CANARY: _json(_release_fields(canary.release))}
    return {"trafficPercent": canary.percent, "predictor": predictor}


def is_managed(manifest: Manifest) -> bool:
    """Whether kfdet created this InferenceService."""
    labels = manifest["metadata"].get("labels") or {}
    return labels.get(names.MANAGED_LABEL) == names.MANAGED_BY


def read(manifest: Manifest) -> Endpoint:
    """The endpoint of an InferenceService that kfdet created.

    Raises:
        KfdetError: Its annotations were changed by hand and no longer name a version.
    """
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    annotations = metadata.get("annotations") or {}
    try:
        stable = Release(
            annotations[names.VERSION],
            annotations[names.STORAGE_URI],
            json.loads(annotations[names.METRICS]),
            _thresholds(json.loads(annotations.get(names.THRESHOLDS, "null"))),
            annotations.get(names.START, ""),
            dict(json.loads(annotations.get(names.PROMOTION, "{}"))),
            annotations.get(names.STARTED, ""),
            annotations.get(names.RUN, ""),
            annotations.get(names.DATASET, ""),
            annotations[names.RUNTIME_USED],
        )
        previous = json.loads(annotations.get(names.PREVIOUS, "null"))
        serving = Serving(stable, _release(previous) if previous else None, _read_canary(manifest))
        notes = status.get("annotations") or {}
        remembered = json.loads(notes.get(names.REFUSED, "null"))
        refused = Refusal(**remembered) if remembered else None
        confirmation = json.loads(notes.get(names.CONFIRMED, "{}"))
        again = confirmation.get("version") == serving.newest.version
        confirmed = str(confirmation["started"]) if again else ""
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise KfdetError(
            f"InferenceService {metadata['name']}: an annotation of kfdet is missing or damaged "
            f"({error}). Correct it, or delete the endpoint and deploy it again."
        ) from error
    return Endpoint(
        name=metadata["name"],
        namespace=metadata["namespace"],
        serving=serving,
        ready=condition(manifest, "Ready").get("status") == "True",
        url=status.get("url") or "",
        address=(status.get("address") or {}).get("url") or "",
        created=metadata.get("creationTimestamp") or "",
        mode=mode_of(manifest),
        refused=refused if refused and refused.current == stable.version else None,
        confirmed=confirmed,
        capacity=read_capacity(manifest),
    )


def _read_canary(manifest: Manifest) -> Canary | None:
    spec = manifest["spec"]
    for canary in spec.get("canary") or []:
        text = canary["predictor"]["annotations"][names.CANARY]
        return Canary(_release(json.loads(text)), int(canary["trafficPercent"]))
    text = manifest["metadata"]["annotations"].get(names.CANARY)
    if text is None:
        return None
    return Canary(_release(json.loads(text)), int(spec["predictor"]["canaryTrafficPercent"]))


def mode_of(manifest: Manifest) -> Mode | None:
    """How KServe runs an InferenceService; None before KServe has processed it."""
    mode = (manifest.get("status") or {}).get("deploymentMode", "")
    return mode if mode in get_args(Mode) else None


def condition(manifest: Manifest, kind: str) -> dict[str, str]:
    """One condition of an object's status; {} where it is missing."""
    conditions = (manifest.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def _release(fields: Mapping[str, Any]) -> Release:
    return Release(
        fields["version"],
        fields["storageUri"],
        dict(fields["metrics"]),
        _thresholds(fields.get("thresholds")),
        fields.get("start", ""),
        dict(fields.get("promotion", {})),
        fields.get("started", ""),
        fields.get("run", ""),
        fields.get("dataset", ""),
        fields["runtime"],
    )


def _thresholds(fields: Mapping[str, Any] | None) -> Thresholds | None:
    return Thresholds(fields["overall"], dict(fields["per_label"])) if fields else None


def _release_fields(release: Release) -> dict[str, Any]:
    fields = {
        "thresholds": asdict(release.thresholds) if release.thresholds else None,
        "start": release.start,
        "promotion": dict(release.promotion),
        "started": release.started,
        "run": release.run,
        "dataset": release.dataset,
    }
    return {
        "version": release.version,
        "storageUri": release.storage_uri,
        "metrics": dict(release.metrics),
        "runtime": release.runtime,
        **{name: value for name, value in fields.items() if value},
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
