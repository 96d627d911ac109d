"""Whether an endpoint serves what it should, and why not.

KServe's status alone is not enough: during a rolling update of a Deployment it stays Ready with
the old pods. So a pod that was created for the model's storageUri has to be ready, too.

Sources of the reasons: Kubernetes' pkg/kubelet/images/types.go and
pkg/kubelet/kuberuntime/kuberuntime_container.go; KServe's
pkg/apis/serving/v1beta1/inference_service_status.go (modelStatus).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, Manifest
from kfdet.cluster.refusals import ClusterUnreachableError
from kfdet.deployment.endpoint import is_standard
from kfdet.deployment.inference_service import condition, mode_of
from kfdet.errors import KfdetError

INTERVAL_SECONDS = 2.0
_OUTAGE_SECONDS = 60.0
"""How long the API server may be unreachable before waiting ends."""

_MANIFESTS = "kubectl apply -k manifests/overlays/standalone (or the overlay that you use)"


class SupersededError(KfdetError):
    """Another deployment has changed the endpoint, which now belongs to it."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of an endpoint at one moment.

    Args:
        kind: "blocked" may resolve itself, "waiting" makes progress.
        reason: One sentence without its full stop.
        hint: What to do about it.
        patience: Seconds that "blocked" has to last until waiting ends; None: until the timeout.
    """

    kind: Literal["ready", "waiting", "blocked"]
    reason: str = ""
    hint: str = ""
    patience: float | None = None


def judge(manifest: Manifest, pods: Sequence[Manifest], uri: str) -> State:
    """The state of an endpoint.

    Args:
        manifest: The InferenceService as the API server gives it.
        pods: Its pods.
        uri: The storageUri that it should serve: of the release, or of a canary.
    """
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    wanted = [pod for pod in living if uri in model_uris(pod)]
    is_ready = condition(manifest, "Ready").get("status") == "True"
    if is_ready and not living and _scales_to_zero(manifest):
        return State("ready")  # scaled to zero
    if is_ready and any(map(_is_ready, wanted)):
        shared = bool(manifest["spec"].get("canary"))
        # A Knative revision without requests may linger; a Deployment's old pod still answers.
        if len(wanted) < len(living) and is_standard(mode_of(manifest)) and not shared:
            return State("waiting", "the pod of the previous version is ending")
        return State("ready")
    for pod in wanted:
        for trouble in _pod_troubles(pod):
            return trouble
    if wanted and not all(map(_is_ready, wanted)):
        return State("waiting", _progress(manifest, wanted))
    return _service_trouble(manifest) or State("waiting", _progress(manifest, wanted))


def wait_until_ready(
    cluster: Cluster,
    name: str,
    version: str,
    uri: str,
    timeout: float,
    report: Callable[[str], None],
) -> Manifest:
    """Wait until an endpoint serves `uri`; returns its InferenceService.

    Args:
        cluster: Where it is.
        name: The InferenceService.
        version: The version that it should have; another one means that somebody else deploys.
        uri: As for `judge`.
        timeout: Longest wait in seconds.
        report: Callback: a few words about the state, whenever they change.

    Raises:
        KfdetError: It does not become ready, with the pods' reason; or it has been deleted.
        SupersededError: Somebody else has changed it.
    """
    started = time.monotonic()
    blocked_since: dict[str, float] = {}
    reported = ""
    for manifest, pods in _watch(cluster, name):
        if manifest is None:
            raise KfdetError(f"Somebody has deleted {name} while it was being deployed.")
        found = (manifest["metadata"].get("annotations") or {}).get(names.VERSION)
        if found != version:
            raise SupersededError(
                f"Somebody else deploys version {found} as {name} at the same time. Wait until "
                "that deployment has ended, then deploy again."
            )
        state = judge(manifest, pods, uri)
        if state.kind == "ready":
            return manifest
        now = time.monotonic()
        since = blocked_since.setdefault(state.reason, now) if state.kind == "blocked" else now
        if state.reason != reported:
            report(state.reason)
            reported = state.reason
        impatient = state.patience is not None and now - since >= state.patience
        if (state.kind == "blocked" and impatient) or now - started >= timeout:
            took = f" after {now - started:.0f} s" if not impatient else ""
            raise KfdetError(f"{name} is not ready{took}: {state.reason}. {state.hint}".rstrip())
    raise AssertionError("unreachable")


def _watch(cluster: Cluster, name: str) -> Iterator[tuple[Manifest | None, list[Manifest]]]:
    """The InferenceService and its pods, repeatedly; bridges outages of the API server."""
    seen = time.monotonic()
    while True:
        try:
            manifest = cluster.get(name)
            pods = cluster.pods(name) if manifest else []
        except ClusterUnreachableError:
            if time.monotonic() - seen > _OUTAGE_SECONDS:
                raise
        else:
            seen = time.monotonic()
            yield manifest, pods
        time.sleep(INTERVAL_SECONDS)


def _scales_to_zero(manifest: Manifest) -> bool:
    return bool(manifest["spec"]["predictor"].get("minReplicas", 1) == 0)


def model_uris(pod: Manifest) -> set[str]:
    """Where the pod's model comes from: KServe's annotation, and arguments of containers."""
    annotations = pod["metadata"].get("annotations") or {}
    found = {annotations.get(names.SOURCE_URI, "")}
    for container in pod["spec"].get("initContainers") or []:
        found |= set(container.get("args") or [])
    return found - {""}


def _is_ready(pod: Manifest) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def _pod_troubles(pod: Manifest) -> Iterator[State]:
    """What keeps a pod from being ready, the cause before its consequences."""
    status = pod.get("status") or {}
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield State(
            "blocked",
            f"the pod cannot be scheduled: {_sentence(scheduled.get('message', ''))}",
            "Free a node, add one, or lower the requests of the ServingRuntime "
            f"{names.RUNTIME} (kubectl edit servingruntime).",
        )
    if status.get("phase") == "Failed":
        yield State(
            "blocked",
            f"the pod failed: {status.get('reason', '')} {_sentence(status.get('message', ''))}",
            f"`kubectl describe pod {pod['metadata']['name']}` shows more.",
            patience=30,  # a new pod usually takes its place
        )
    for entry in status.get("initContainerStatuses") or []:
        yield from _container_troubles(entry, pod)
    for entry in status.get("containerStatuses") or []:
        yield from _container_troubles(entry, pod)


def _container_troubles(entry: Manifest, pod: Manifest) -> Iterator[State]:
    name, image = entry["name"], entry.get("image", "")
    state: dict[str, Any] = entry.get("state") or {}
    waiting: dict[str, str] = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), _sentence(waiting.get("message", ""))
    ended = state.get("terminated") or (entry.get("lastState") or {}).get("terminated") or {}

    if reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"):
        yield State(
            "blocked",
            f"the image {image} of container {name} cannot be pulled ({reason}): {message}",
            "Is the image's name right, and may the node read that registry?",
            patience=0 if reason in ("ErrImageNeverPull", "InvalidImageName") else 60,
        )
    elif reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        yield State(
            "blocked",
            f"container {name} cannot be started ({reason}): {message}",
            f"Does the Secret {names.READER_SECRET} exist? {_MANIFESTS} creates it.",
            patience=30,
        )
    elif (reason == "CrashLoopBackOff" or state.get("terminated")) and ended.get("exitCode", 0):
        yield _crash(name, ended, pod, patience=0 if reason == "CrashLoopBackOff" else 60)


def _crash(name: str, ended: Manifest, pod: Manifest, patience: float) -> State:
    lines = _last_lines(ended.get("message", ""))
    if ended.get("reason") == "OOMKilled":
        return State(
            "blocked",
            f"container {name} was killed: it needs more memory than its limit",
            f"Raise the memory limit of the ServingRuntime {names.RUNTIME}.",
            patience,
        )
    if name == "storage-initializer":
        return State(
            "blocked",
            f"the model cannot be fetched from {', '.join(sorted(_addresses(pod)))}: {lines}",
            f"Does the Secret {names.READER_SECRET} with its annotations name a store that the "
            f"cluster reaches, and the ServiceAccount {names.SERVING_ACCOUNT} that Secret?",
            patience,
        )
    return State(
        "blocked",
        f"container {name} ends with exit status {ended['exitCode']}: {lines}",
        f"`kubectl logs {pod['metadata']['name']} -c {name} --previous` shows all of it.",
        patience,
    )


def _addresses(pod: Manifest) -> set[str]:
    return {uri for uri in model_uris(pod) if "://" in uri}


def _service_trouble(manifest: Manifest) -> State | None:
    """KServe's own objection to the InferenceService, where no pod gives a reason."""
    status = manifest.get("status") or {}
    model = status.get("modelStatus") or {}
    failure = model.get("lastFailureInfo") or {}
    if model.get("transitionStatus") == "InvalidSpec":
        return State(
            "blocked",
            f"KServe refuses it ({failure.get('reason', '')}): "
            f"{_sentence(failure.get('message', ''))}",
            f"{_MANIFESTS} creates the ServingRuntime {names.RUNTIME} in its namespace.",
            patience=10,
        )
    for kind in ("PredictorReady", "CanaryPredictorReady", "IngressReady"):
        entry = condition(manifest, kind)
        if entry.get("status") == "False" and entry.get("message"):
            return State(
                "blocked",
                f"{kind} is False ({entry.get('reason', '')}): {_sentence(entry['message'])}",
                f"Do the ServiceAccount {names.SERVING_ACCOUNT} and the Secret "
                f"{names.READER_SECRET} exist? {_MANIFESTS} creates them.",
                patience=30 if entry.get("reason") == "FailedCreate" else None,
            )
    if not status:
        return State(
            "blocked",
            "KServe has not processed it",
            "Is its controller running (kubectl get pods -n kserve)?",
        )
    return None


def _progress(manifest: Manifest, pods: Sequence[Manifest]) -> str:
    """What is happening, in a few words."""
    if not pods:
        return "waiting for a pod"
    for pod in pods:
        entries = (pod.get("status") or {}).get("initContainerStatuses") or []
        if any("running" in (entry.get("state") or {}) for entry in entries):
            return "fetching the model"
    if not all(map(_is_ready, pods)):
        return "loading the model"
    return f"waiting for {_unready(manifest)}"


def _unready(manifest: Manifest) -> str:
    conditions = (manifest.get("status") or {}).get("conditions") or []
    unready = [entry["type"] for entry in conditions if entry["status"] != "True"]
    return ", ".join(kind for kind in unready if kind != "Stopped") or "KServe"


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _last_lines(text: str, count: int = 3) -> str:
    lines = [line.strip(" │╭╮╰╯─") for line in text.splitlines()]  # some are framed
    lines = [line for line in lines if line]
    if "Traceback (most recent call last):" in lines or (lines and lines[0].startswith("File ")):
        count = 1  # the other lines are the stack
    return " / ".join(lines[-count:]).rstrip(".") or "it left no message"
