"""Watching a canary: the requests that its pods count, and a rule that moves it on or ends it.

Source of the counters: TensorFlow Serving's servables/tensorflow/util.cc, written as Prometheus
text by util/prometheus_exporter.cc.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kfdet.cluster.api import Cluster, Manifest
from kfdet.deployment.endpoint import Canary, Endpoint
from kfdet.deployment.inference_service import read
from kfdet.deployment.readiness import SupersededError, model_uris
from kfdet.deployment.rollout import Options, end_canary, find_endpoint, share_out
from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress

INTERVAL_SECONDS = 10.0
_ENOUGH = 100
"""Requests after which a limit that is passed ends the canary before its time is over."""

_SAMPLE = re.compile(r"^:tensorflow:serving:(request_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_GOOD = ('status="OK"', 'status="success"')  # today's word, and that of older releases


@dataclass(frozen=True, slots=True)
class Limits:
    """What a canary must keep to.

    Args:
        errors: Highest percentage of requests that may fail.
        latency: Highest mean time of an answer in seconds; 0: any.
    """

    errors: float = 1.0
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that were counted.

    Args:
        requests: How many were answered, errors included.
        errors: How many failed.
        timed: How many have a measured time.
        seconds: The sum of these times.
    """

    requests: float = 0.0
    errors: float = 0.0
    timed: float = 0.0
    seconds: float = 0.0

    def plus(self, other: Traffic) -> Traffic:
        """The sum of both."""
        return Traffic(
            self.requests + other.requests,
            self.errors + other.errors,
            self.timed + other.timed,
            self.seconds + other.seconds,
        )

    def since(self, earlier: Traffic) -> Traffic:
        """What was counted after `earlier`; a counter that is smaller began anew at 0."""
        if self.requests < earlier.requests or self.timed < earlier.timed:
            return self
        return Traffic(
            self.requests - earlier.requests,
            self.errors - earlier.errors,
            self.timed - earlier.timed,
            self.seconds - earlier.seconds,
        )

    def violation(self, limits: Limits) -> str:
        """Which limit is passed, in words; "" if none is."""
        share = 100 * self.errors / self.requests if self.requests else 0.0
        if share > limits.errors:
            return (
                f"{self.errors:.0f} of {self.requests:.0f} requests failed ({share:.1f}%, at most "
                f"{limits.errors:g}% may)"
            )
        mean = self.seconds / self.timed if self.timed else 0.0
        if limits.latency and mean > limits.latency:
            return f"an answer takes {mean:.2f} s on average ({limits.latency:g} s are allowed)"
        return ""


def read_traffic(text: str) -> Traffic:
    """What a server has counted since it started, from its metrics in Prometheus' text format."""
    requests = errors = timed = microseconds = 0.0
    for name, labels, value in _SAMPLE.findall(text):
        if name == "request_count":
            requests += float(value)
            errors += 0.0 if any(good in labels for good in _GOOD) else float(value)
        elif name == "request_latency_count":
            timed += float(value)
        elif name == "request_latency_sum":
            microseconds += float(value)
    return Traffic(requests, errors, timed, microseconds / 1e6)


def promote_in_steps(
    cluster: Cluster,
    name: str,
    shares: Sequence[int],
    seconds: float,
    limits: Limits,
    options: Options,
) -> Endpoint:
    """Watch the canary before each larger share; one that passes a limit is ended.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        shares: Percentages of the requests, ascending; 100 makes the canary the stable version.
        seconds: How long it is watched before each step.
        limits: What it must keep to.
        options: As for `share_out`.

    Raises:
        InputError: There is no such endpoint, or no canary.
        KfdetError: The canary passed a limit and was ended, or it got no request.
    """
    endpoint = find_endpoint(cluster, name)
    for share in shares:
        reason = _watch(cluster, endpoint, seconds, limits)
        if reason:
            end_canary(cluster, name, options)
            raise KfdetError(f"the canary of {name} was ended: {reason}.")
        endpoint = share_out(cluster, name, share, options)
    return endpoint


def _watch(cluster: Cluster, endpoint: Endpoint, seconds: float, limits: Limits) -> str:
    """Why the canary is not good, after watching it; "" if it is."""
    canary = endpoint.serving.canary
    if canary is None:
        raise InputError(
            f"{endpoint.name} has no canary.",
            hint="`kfdet deploy --canary-percent` starts one.",
        )
    progress = Progress(
        f"watching {canary.release.version} at {canary.percent}%", round(seconds), "s"
    )
    started = time.monotonic()
    counted = _Counted()
    while True:
        counted.update(_pod_metrics(cluster, endpoint.name, canary))
        traffic, passed = counted.total, time.monotonic() - started
        reason = counted.trouble or traffic.violation(limits)
        over = passed >= seconds
        if reason and (over or counted.trouble or traffic.requests >= _ENOUGH):
            return reason
        if over:
            break
        progress.update(
            int(passed), f"{traffic.requests:.0f} requests, {traffic.errors:.0f} failed"
        )
        time.sleep(min(INTERVAL_SECONDS, seconds - passed))
    if not traffic.requests:
        raise KfdetError(
            f"the canary of {endpoint.name} got no request in {seconds / 60:g} minutes, so that "
            f"nothing is known about it. It keeps its {canary.percent}%; watch it for longer, or "
            f"move it on without watching: kfdet promote {endpoint.name}."
        )
    progress.update(round(seconds))
    return ""


@dataclass(slots=True)
class _Counted:
    """What the canary's pods have counted while they were watched."""

    total: Traffic = Traffic()
    trouble: str = ""
    _last: dict[str, Traffic] = field(default_factory=dict)
    _restarts: dict[str, int] = field(default_factory=dict)

    def update(self, pods: Mapping[str, tuple[int, str]]) -> None:
        """Add what is new: restarts and metrics by pod."""
        first = not self._restarts
        for pod, (restarts, text) in pods.items():
            if restarts > self._restarts.get(pod, restarts):
                self.trouble = f"its container in pod {pod} crashed"
            self._restarts[pod] = restarts
            traffic = read_traffic(text)
            if not first:
                self.total = self.total.plus(traffic.since(self._last.get(pod, Traffic())))
            self._last[pod] = traffic


def _pod_metrics(cluster: Cluster, name: str, canary: Canary) -> dict[str, tuple[int, str]]:
    """Restarts and metrics of each ready pod of the canary.

    Raises:
        SupersededError: The endpoint has another canary, or none.
    """
    manifest = cluster.get(name)
    now = read(manifest).serving.canary if manifest else None
    if now != canary:
        raise SupersededError(f"Somebody else has changed {name} while its canary was watched.")
    found = {}
    for pod in cluster.pods(name):
        if canary.release.storage_uri in model_uris(pod) and _is_serving(pod):
            pod_name = pod["metadata"]["name"]
            found[pod_name] = (_restarts(pod), cluster.metrics_of_pod(pod_name))
    return found


def _is_serving(pod: Manifest) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return bool(statuses) and all(entry.get("ready") for entry in statuses)


def _restarts(pod: Manifest) -> int:
    return sum(entry.get("restartCount", 0) for entry in pod["status"]["containerStatuses"])
