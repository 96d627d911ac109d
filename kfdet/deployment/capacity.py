"""How many pods an endpoint has, what each may use, and whose these fields are.

kfdet applies what it was asked for, now or before, and nothing else: an administrator who sets
replicas, an autoscaler or resources by hand owns these fields, and a later deployment leaves them.
Source of the rules: Kubernetes' server-side apply (metadata.managedFields, fieldsV1) and KServe's
pkg/apis/serving/v1beta1/component.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kfdet.cluster import names
from kfdet.cluster.api import Manifest
from kfdet.cluster.parameters import ServingSettings
from kfdet.errors import InputError

Path = tuple[str, ...]
"""Where a field is in an InferenceService."""

AUTOSCALER: Path = ("metadata", "annotations", names.AUTOSCALER)
LEAST: Path = ("spec", "predictor", "minReplicas")
MOST: Path = ("spec", "predictor", "maxReplicas")
TARGET: Path = ("spec", "predictor", "scaleTarget")
_RESOURCES: Path = ("spec", "predictor", "model", "resources")
CPU: Path = (*_RESOURCES, "requests", "cpu")
MEMORY: Path = (*_RESOURCES, "requests", "memory")
MEMORY_LIMIT: Path = (*_RESOURCES, "limits", "memory")

_SCALE = (AUTOSCALER, LEAST, MOST, TARGET)
_SIZE = (CPU, MEMORY, MEMORY_LIMIT)

_MOST_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Capacity:
    """The fields of an endpoint that say how many pods it has and what each may use.

    Args:
        own: Values by path, which kfdet applies.
        others: Values by path, which somebody else has set.
    """

    own: Mapping[Path, Any] = field(default_factory=dict)
    others: Mapping[Path, Any] = field(default_factory=dict)

    @property
    def least_pods(self) -> int:
        """The number of pods that the endpoint always has."""
        return int({**self.own, **self.others}.get(LEAST, 1))

    def of_candidate(self, *, standard: bool) -> Capacity:
        """What one pod of the endpoint may use, for the candidate that is tried beside it."""
        size = {path: value for path, value in self._items() if path in _SIZE}
        return Capacity({**({AUTOSCALER: "none"} if standard else {}), **size})

    def _items(self) -> Iterator[tuple[Path, Any]]:
        yield from self.own.items()
        yield from self.others.items()


NO_CAPACITY = Capacity()


def read_capacity(manifest: Manifest) -> Capacity:
    """The capacity of an InferenceService as the API server gives it."""
    own, others = {}, {}
    entries = manifest["metadata"].get("managedFields") or []
    for path in (*_SCALE, *_SIZE):
        value = _value(manifest, path)
        owners = {_is_own(entry) for entry in entries if _has(entry.get("fieldsV1") or {}, path)}
        if value is not None and True in owners:
            own[path] = value
        elif value is not None and owners:
            others[path] = value
    return Capacity(own, others)


def first_capacity(asked: ServingSettings, *, standard: bool) -> Capacity:
    """The capacity of a new endpoint.

    Args:
        asked: What the user asks for.
        standard: Whether it is a plain Deployment, else Knative's.

    Raises:
        InputError: What is asked for is not possible in this mode.
    """
    # A fixed number of pods: KServe's default asks for a metrics server.
    default: dict[Path, Any] = {AUTOSCALER: "none"} if standard else {}
    return Capacity(_present({**default, **_fields(asked, standard=standard)}))


def changed_capacity(
    asked: ServingSettings, current: Capacity, *, standard: bool, force: bool
) -> tuple[Capacity, list[str]]:
    """The capacity of an endpoint after a deployment.

    Args:
        asked: What the user asks for.
        current: As it is.
        standard: Whether it is a plain Deployment, else Knative's.
        force: Take fields over that somebody else has set.

    Returns:
        The capacity, and what was asked for but stays as somebody else has set it, in words.

    Raises:
        InputError: What is asked for is not possible in this mode.
    """
    wanted = _fields(asked, standard=standard)
    kept: dict[Path, Any] = {}
    if not force:
        kept = {
            path: value
            for path, value in current.others.items()
            if path in wanted and wanted[path] != value
        }
        # Whose the number of pods or the autoscaler is, is the one who scales.
        if any(path in kept for path in _SCALE):
            wanted = {path: value for path, value in wanted.items() if path not in _SCALE}
        wanted = {path: value for path, value in wanted.items() if path not in kept}
    own = _present({**current.own, **wanted})
    others = {path: value for path, value in current.others.items() if path not in own}
    return Capacity(own, others), [f"{path[-1]} {value}" for path, value in kept.items()]


def set_fields(manifest: Manifest, values: Mapping[Path, Any]) -> None:
    """Put values into a manifest, at their paths."""
    for path, value in values.items():
        place = manifest
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value


def _fields(asked: ServingSettings, *, standard: bool) -> dict[Path, Any]:
    """What is asked for; None where a field has to go."""
    asked.check()
    found: dict[Path, Any] = {}
    replicas = asked.replica_range()
    if replicas and standard:
        least, most = replicas
        if least == 0:
            raise InputError(
                "a plain Deployment cannot scale to zero.",
                hint="Ask for at least 1 pod, or deploy a new endpoint with --knative.",
            )
        fixed = least == most
        found = {
            AUTOSCALER: "none" if fixed else "hpa",
            LEAST: least,
            MOST: None if fixed else most,
            **({TARGET: None} if fixed else {}),
        }
    elif replicas:
        found = {LEAST: replicas[0], MOST: replicas[1]}
    if asked.scale_target:
        if standard and asked.scale_target > _MOST_PERCENT:
            raise InputError(
                f"scale_target must be a percentage of the CPU, got {asked.scale_target}.",
                hint="With a plain Deployment it is 1 to 100.",
            )
        found[TARGET] = asked.scale_target
    if asked.serving_cpu:
        found[CPU] = asked.serving_cpu
    if asked.serving_memory:
        found |= {MEMORY: asked.serving_memory, MEMORY_LIMIT: asked.serving_memory}
    return found


def _present(values: Mapping[Path, Any]) -> dict[Path, Any]:
    return {path: value for path, value in values.items() if value is not None}


def _value(manifest: Manifest, path: Path) -> Any:
    place: Any = manifest
    for step in path:
        place = (place or {}).get(step)
    return place


def _is_own(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == names.FIELD_MANAGER and entry.get("operation") == "Apply"


def _has(fields: Mapping[str, Any], path: Path) -> bool:
    for step in path:
        if f"f:{step}" not in fields:
            return False
        fields = fields[f"f:{step}"]
    return True
