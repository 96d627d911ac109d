"""A release on trial beside its endpoint, as an InferenceService of its own for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, Manifest
from kfdet.deployment import readiness
from kfdet.deployment.capacity import Capacity
from kfdet.deployment.endpoint import Endpoint, Mode, Release, Serving, is_standard
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.readiness import SupersededError, wait_until_ready
from kfdet.errors import KfdetError
from kfdet.events import Progress, emit

SmokeTest = Callable[[Endpoint], None]
"""Checks the detections of an endpoint; raises KfdetError when they cannot be right."""


def newer_than(release: Release, started: str) -> bool:
    """Whether the run of a release was started later than at `started`.

    Where one of the two times is not known, neither is newer.
    """
    return bool(started) and release.started > started


def let_newer_one_end(cluster: Cluster, name: str, release: Release, timeout: float) -> None:
    """Wait while a newer release is tried out as the endpoint's candidate.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        release: What is to be tried.
        timeout: Seconds after which the other one is what a killed deployment has left.

    Raises:
        SupersededError: One was waited for; the endpoint may have changed.
    """
    deadline, waited = time.monotonic() + timeout, ""
    while time.monotonic() < deadline:
        manifest = cluster.get(name + names.CANDIDATE_SUFFIX)
        tried = read(manifest).serving.stable if manifest else None
        if tried is None or not newer_than(tried, release.started):
            if waited:
                raise SupersededError(f"Version {waited}, of a newer run, was being deployed.")
            return
        if not waited:
            waited = tried.version
            emit("info", message=f"waiting for the deployment of version {waited}, which is newer")
        time.sleep(readiness.INTERVAL_SECONDS)


def try_out(
    cluster: Cluster,
    name: str,
    release: Release,
    mode: Mode,
    capacity: Capacity,
    smoke_test: SmokeTest,
    timeout: float,
) -> None:
    """Serve `release` beside the endpoint and check it.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        release: What to try.
        mode: How KServe runs the endpoint.
        capacity: That of the endpoint.
        smoke_test: Checks its detections.
        timeout: Seconds to wait until it is ready.

    Raises:
        KfdetError: It does not become ready, or does not answer well.
        SupersededError: Another deployment tries its own version meanwhile.
    """
    candidate = name + names.CANDIDATE_SUFFIX
    progress = Progress(f"trying {candidate}", 2, "steps")
    one_pod = capacity.of_candidate(standard=is_standard(mode))
    manifest = build(candidate, cluster.namespace, Serving(release), mode, one_pod)
    try:
        # By force: only kfdet creates candidates, and a killed deployment may have left one.
        cluster.apply(manifest, force=True)
        manifest = wait_until_ready(
            cluster,
            candidate,
            release.version,
            release.storage_uri,
            timeout,
            lambda note: progress.update(0, note),
        )
        progress.update(1, "asking for detections")
        tried = read(manifest)
        try:
            smoke_test(tried)
        except KfdetError as error:
            if not _is_own(cluster.get(candidate), release):
                raise SupersededError("Another version took the candidate's place.") from error
            raise
        progress.update(2, "answers well")
    finally:
        # Before the endpoint's own new pod: a small cluster has no room for three.
        _delete_own(cluster, candidate, release)


def _delete_own(cluster: Cluster, candidate: str, release: Release) -> None:
    """Delete the candidate unless another deployment has put its own version there."""
    if _is_own(cluster.get(candidate), release):
        cluster.delete(candidate)


def _is_own(manifest: Manifest | None, release: Release) -> bool:
    annotations = manifest["metadata"].get("annotations") or {} if manifest else {}
    return bool(annotations.get(names.VERSION) == release.version)
