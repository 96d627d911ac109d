"""An endpoint as a value, and as the InferenceService that makes KServe serve it.

Source of the format: KServe's pkg/apis/serving/v1beta1 (0.20): inference_service.go, component.go
and inference_service_status.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from kfdet.cluster import names
from kfdet.cluster.api import Manifest
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError, KfdetError

Mode = Literal["Standard", "Knative"]

_MODES: Mapping[str, Mode] = {
    "Standard": "Standard",
    "RawDeployment": "Standard",  # its older name
    "Knative": "Knative",
    "Serverless": "Knative",  # its older name
}


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a model in the bucket.

    Args:
        version: First 12 hexadecimal digits of its content's hash.
        storage_uri: s3://bucket/prefix; the model is at 1/saved_model.pb below it.
        metrics: A few figures of its evaluation, such as AP50.
        thresholds: What its evaluation recommends; None where nobody measured it.
        start: What its training started from, such as "imagenet"; "" where that is not known.
        promotion: How it compared with what it replaced (fields of
            `kfdet.evaluation.comparison.Comparison`); {} where nothing was compared.
        started: When its run read the dataset, or somebody deployed it by hand: UTC as
            `kfdet.events.timestamp` gives it; "" where that is not known.
    """

    version: str
    storage_uri: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    thresholds: Thresholds | None = None
    start: str = ""
    promotion: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was not promoted.

    Args:
        version: Its version.
        current: The version that kept its place.
        reason: Why, in sentences.
        comparison: How it compared (as `Release.promotion`).
    """

    version: str
    current: str
    reason: str
    comparison: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Canary:
    """A release that gets `percent` of the requests."""

    release: Release
    percent: int


@dataclass(frozen=True, slots=True)
class Serving:
    """What an endpoint serves: a release, the previous one, and one on trial."""

    stable: Release
    previous: Release | None = None
    canary: Canary | None = None

    @property
    def newest(self) -> Release:
        """The release that came last: the one on trial where there is one."""
        return self.canary.release if self.canary else self.stable

    def promoted(self, release: Release) -> Serving:
        """`release` for every request; what was stable becomes the previous one."""
        if release.version == self.stable.version:
            return Serving(release, self.previous)
        return Serving(release, self.stable)

    def with_canary(self, release: Release, percent: int) -> Serving:
        """`release` for `percent` of the requests beside the stable one."""
        return replace(self, canary=Canary(release, percent))

    def rolled_back(self, name: str) -> Serving:
        """Without the canary where there is one, else with the previous release.

        Raises:
            InputError: There is no previous release.
        """
        if self.canary:
            return replace(self, canary=None)
        if self.previous is None:
            raise InputError(
                f"version {self.stable.version} of {name} is its first; there is no previous one.",
                hint="`kfdet endpoints` lists the versions.",
            )
        return Serving(self.previous, self.stable)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An InferenceService of kfdet as the cluster reports it.

    Args:
        name: Its name.
        namespace: Its namespace.
        serving: What it should serve.
        ready: Whether KServe reports it as ready.
        url: Its address, as `kubectl get isvc` shows it; "" while it has none.
        address: Its address inside the cluster; "" while it has none.
        created: Time of its creation, as RFC 3339.
        mode: How KServe runs it; None before KServe has processed it.
        refused: The last version that was not promoted over what it serves; None: there is none.
    """

    name: str
    namespace: str
    serving: Serving
    ready: bool
    url: str
    address: str
    created: str
    mode: Mode | None
    refused: Refusal | None = None


def check_name(name: str) -> None:
    """Refuse a name that KServe rejects, or that becomes too long in names derived from it.

    Raises:
        InputError: With the rule.
    """
    if len(name) > names.LONGEST_NAME or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise InputError(
            f'"{name}" cannot be the name of an endpoint.',
            hint="Use lower-case letters, digits and hyphens, at most "
            f"{names.LONGEST_NAME}; begin with a letter and do not end with a hyphen.",
        )
    if name.endswith(names.CANDIDATE_SUFFIX):
        raise InputError(
            f'"{name}" ends in {names.CANDIDATE_SUFFIX}, which kfdet itself appends to names.',
            hint="Choose another name.",
        )


def build(name: str, namespace: str, serving: Serving, mode: Mode | None) -> Manifest:
    """The InferenceService that serves `serving`; the same arguments give the same manifest.

    Args:
        name: The endpoint.
        namespace: Its namespace.
        serving: What it serves.
        mode: "Standard" for Deployments; "Knative" or None leave the mode to the cluster.
    """
    standard = mode == "Standard"
    # KServe copies them to the pods: a change replaces these, even where the model is the same.
    annotations = {
        names.VERSION: serving.stable.version,
        names.STORAGE_URI: serving.stable.storage_uri,
        names.METRICS: _json(dict(serving.stable.metrics)),
    }
    if serving.stable.thresholds:
        annotations[names.THRESHOLDS] = _json(asdict(serving.stable.thresholds))
    if serving.stable.start:
        annotations[names.START] = serving.stable.start
    if serving.stable.started:
        annotations[names.STARTED] = serving.stable.started
    if serving.stable.promotion:
        annotations[names.PROMOTION] = _json(dict(serving.stable.promotion))
    if serving.previous:
        annotations[names.PREVIOUS] = _json(_release_fields(serving.previous))
    if serving.canary:
        fields = {**_release_fields(serving.canary.release), "percent": serving.canary.percent}
        annotations[names.CANARY] = _json(fields)
    if standard:
        # A fixed number of pods: KServe's default asks for a metrics server.
        annotations |= {names.MODE: "Standard", names.AUTOSCALER: "none"}

    spec: Manifest = {"predictor": _predictor(serving.stable, standard)}
    if serving.canary and standard:
        canary = _predictor(serving.canary.release, standard)
        # What serves the canary is called NAME-PREDICTOR-predictor; a version may begin with a
        # digit, a predictor may not.
        canary["name"] = f"v{serving.canary.release.version}"
        # The schema of 0.20 asks for a name here and nowhere else; KServe's own one is right.
        canary["model"]["name"] = "kserve-container"
        spec["canary"] = [{"trafficPercent": serving.canary.percent, "predictor": canary}]
    elif serving.canary:
        # Knative keeps the revision before this one for the rest of the requests.
        spec["predictor"] = {
            **_predictor(serving.canary.release, standard),
            "canaryTrafficPercent": serving.canary.percent,
        }
    return {
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


def _predictor(release: Release, standard: bool) -> Manifest:
    model: Manifest = {
        "modelFormat": {"name": "tensorflow", "version": "2"},
        "protocolVersion": "v1",
        "runtime": names.RUNTIME,
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
        )
        previous = json.loads(annotations.get(names.PREVIOUS, "null"))
        canary = json.loads(annotations.get(names.CANARY, "null"))
        serving = Serving(
            stable,
            _release(previous) if previous else None,
            Canary(_release(canary), int(canary["percent"])) if canary else None,
        )
        remembered = json.loads((status.get("annotations") or {}).get(names.REFUSED, "null"))
        refused = Refusal(**remembered) if remembered else None
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
    )


def mode_of(manifest: Manifest) -> Mode | None:
    """How KServe runs an InferenceService; None before KServe has processed it."""
    return _MODES.get((manifest.get("status") or {}).get("deploymentMode", ""))


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
    )


def _thresholds(fields: Mapping[str, Any] | None) -> Thresholds | None:
    return Thresholds(fields["overall"], dict(fields["per_label"])) if fields else None


def _release_fields(release: Release) -> dict[str, Any]:
    return {
        "version": release.version,
        "storageUri": release.storage_uri,
        "metrics": dict(release.metrics),
        **({"thresholds": asdict(release.thresholds)} if release.thresholds else {}),
        **({"start": release.start} if release.start else {}),
        **({"promotion": dict(release.promotion)} if release.promotion else {}),
        **({"started": release.started} if release.started else {}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
