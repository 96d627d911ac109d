"""Rolling a release out to an endpoint without an interruption, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, Manifest
from kfdet.cluster.refusals import ConflictError
from kfdet.deployment import readiness
from kfdet.deployment.canary import check_canary
from kfdet.deployment.endpoint import (
    Endpoint,
    Mode,
    Release,
    Serving,
    build,
    check_name,
    is_managed,
    read,
)
from kfdet.deployment.readiness import SupersededError, wait_until_ready
from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress, emit, warn

_KNATIVE_GROUP = "serving.knative.dev"

_TRIES = 10
"""How often a switch is tried again after the endpoint's status changed meanwhile."""

_NONE_YET = "1"
"""A resourceVersion that no InferenceService has: applying it creates one or conflicts."""

SmokeTest = Callable[[Endpoint], None]
"""Checks the detections of an endpoint; raises KfdetError when they cannot be right."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to deploy.

    Args:
        canary_percent: Percentage of the requests that the release gets beside the stable one;
            0: all.
        force: Overwrite fields that somebody else has changed.
        timeout: Seconds to wait until a version is ready.
    """

    canary_percent: int = 0
    force: bool = False
    timeout: float = 600.0


def check_deployment(cluster: Cluster, name: str, canary_percent: int) -> Endpoint | None:
    """Find what would stop a deployment, before anything is uploaded or applied.

    Args:
        cluster: Where to deploy.
        name: The endpoint.
        canary_percent: Percentage of the requests, 0 to 99.

    Returns:
        The endpoint as it is; None where there is none yet.

    Raises:
        InputError: The name, the share, the cluster or somebody else's InferenceService
            prevents it.
    """
    check_name(name)
    if not 0 <= canary_percent < 100:
        raise InputError(
            f"--canary-percent must be 0 to 99, got {canary_percent}.",
            hint="0 gives the new version all requests.",
        )
    manifest = cluster.get(name)
    if manifest is None or _is_being_deleted(manifest):
        if canary_percent:
            warn(f"{name} does not exist yet: its first version gets every request.")
        return None
    if not is_managed(manifest):
        raise InputError(
            f"the InferenceService {name} in namespace {cluster.namespace} was not created by "
            "kfdet.",
            hint="Choose another name.",
        )
    endpoint = read(manifest)
    if canary_percent:
        check_canary(cluster, endpoint.mode)
    return endpoint


def roll_out(
    cluster: Cluster,
    name: str,
    current: Endpoint | None,
    release: Release,
    options: Options,
    smoke_test: SmokeTest,
) -> Endpoint:
    """Serve `release` under `name`.

    Tries the release as a candidate beside the endpoint first. If anything fails, the endpoint
    keeps, or gets back, what it served before.

    Args:
        cluster: Where to deploy.
        name: The endpoint.
        current: The endpoint as `check_deployment` found it.
        release: What to serve; its files are in the bucket.
        options: How.
        smoke_test: Checks the candidate.

    Returns:
        The endpoint afterwards.

    Raises:
        InputError: The cluster does not allow it, or somebody else changed the endpoint.
        SupersededError: Another deployment has switched the endpoint meanwhile, or a newer one was
            waited for.
        KfdetError: The release does not become ready or does not answer well.
    """
    if current and current.ready and current.serving.stable.version == release.version:
        unchanged = replace(current.serving, stable=release, canary=None)
        return _switch(cluster, name, current, unchanged, current.mode, options)

    if current is None:
        wanted = Serving(release)
    elif options.canary_percent:
        wanted = current.serving.with_canary(release, options.canary_percent)
    else:
        wanted = current.serving.promoted(release)
    mode = _mode_for(cluster, current)
    # A refusal should come now, not after the candidate.
    manifest = build(name, cluster.namespace, wanted, mode)
    cluster.apply(manifest, force=options.force, dry_run=True)
    _let_newer_one_end(cluster, name, release, options.timeout)
    mode = _try_out(cluster, name, release, mode, options, smoke_test)
    return _switch(cluster, name, current, wanted, mode, options)


def newer_than(release: Release, started: str) -> bool:
    """Whether the run of a release was started later than at `started`.

    Where one of the two times is not known, neither is newer.
    """
    return bool(started) and release.started > started


def roll_back(cluster: Cluster, name: str, options: Options) -> Endpoint:
    """Remove the canary; without one, serve the previous version. A second call undoes the first.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        options: How; the canary share does not matter.

    Raises:
        InputError: There is no such endpoint, or no previous version.
        KfdetError: The previous version does not become ready; the endpoint stays as it is.
    """
    manifest = cluster.get(name)
    if manifest is None or not is_managed(manifest):
        raise InputError(
            f"there is no endpoint {name} in namespace {cluster.namespace}.",
            hint="`kfdet endpoints` lists them; -n chooses the namespace.",
        )
    current = read(manifest)
    wanted = current.serving.rolled_back(name)
    return _switch(cluster, name, current, wanted, current.mode, options)


def _mode_for(cluster: Cluster, current: Endpoint | None) -> Mode | None:
    """How KServe runs the endpoint, or should; None: with Knative, the cluster decides."""
    if current and current.mode:
        return current.mode
    return None if cluster.has_group(_KNATIVE_GROUP) else "Standard"


def _let_newer_one_end(cluster: Cluster, name: str, release: Release, timeout: float) -> None:
    """Wait while a newer release is tried out as the endpoint's candidate.

    After `timeout` seconds that is what a killed deployment has left, and is taken over.

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


def _try_out(
    cluster: Cluster,
    name: str,
    release: Release,
    mode: Mode | None,
    options: Options,
    smoke_test: SmokeTest,
) -> Mode | None:
    """Serve `release` beside the endpoint and check it; returns how KServe runs it."""
    candidate = name + names.CANDIDATE_SUFFIX
    progress = Progress(f"trying {candidate}", 2, "steps")
    try:
        # By force: the candidate is nobody else's, and a killed deployment may have left one.
        cluster.apply(build(candidate, cluster.namespace, Serving(release), mode), force=True)
        manifest = wait_until_ready(
            cluster,
            candidate,
            release.version,
            release.storage_uri,
            options.timeout,
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
    return tried.mode


def _delete_own(cluster: Cluster, candidate: str, release: Release) -> None:
    """Delete the candidate unless another deployment has put its own version there."""
    if _is_own(cluster.get(candidate), release):
        cluster.delete(candidate)


def _is_own(manifest: Manifest | None, release: Release) -> bool:
    annotations = manifest["metadata"].get("annotations") or {} if manifest else {}
    return bool(annotations.get(names.VERSION) == release.version)


def _switch(
    cluster: Cluster,
    name: str,
    current: Endpoint | None,
    wanted: Serving,
    mode: Mode | None,
    options: Options,
) -> Endpoint:
    """Make the endpoint serve `wanted`; restore it when that does not become ready."""
    progress = Progress(f"switching {name} to {_describe(wanted)}", 1, "steps")
    before = current.serving if current else None
    _exchange(cluster, name, before, wanted, mode, force=options.force)
    try:
        manifest = wait_until_ready(
            cluster,
            name,
            wanted.stable.version,
            wanted.newest.storage_uri,
            options.timeout,
            lambda note: progress.update(0, note),
        )
    except SupersededError:
        raise
    except KfdetError as error:
        raise KfdetError(f"{error} {_put_back(cluster, name, before, wanted, mode)}") from error
    progress.update(1)
    return read(manifest)


def _put_back(
    cluster: Cluster, name: str, before: Serving | None, wanted: Serving, mode: Mode | None
) -> str:
    """Undo a switch; returns a sentence about it for the user."""
    try:
        if before is None:
            _find(cluster, name, wanted)
            cluster.delete(name)
            return f"{name} was deleted again."
        _exchange(cluster, name, wanted, before, mode, force=True)
    except SupersededError as error:
        return str(error)
    except KfdetError as error:
        return f"{name} could not be restored: {error} Use `kfdet rollback {name}`."
    return f"{name} serves {_describe(before)} as before."


def _exchange(
    cluster: Cluster,
    name: str,
    before: Serving | None,
    after: Serving,
    mode: Mode | None,
    *,
    force: bool,
) -> None:
    """Make the endpoint serve `after`, provided that it serves `before`; None: it does not exist.

    Raises:
        SupersededError: It serves something else: another deployment was faster.
    """
    manifest = build(name, cluster.namespace, after, mode)
    for left in reversed(range(_TRIES)):
        # `after`: an answer was lost, or somebody else wants the same.
        found = _find(cluster, name, before, after)
        version = found["metadata"]["resourceVersion"] if found else _NONE_YET
        manifest["metadata"]["resourceVersion"] = version
        try:
            cluster.apply(manifest, force=force)
        except ConflictError:  # perhaps only KServe wrote its status
            if not left:
                raise
        else:
            return


def _find(cluster: Cluster, name: str, *expected: Serving | None) -> Manifest | None:
    """The endpoint's InferenceService, which serves something `expected`.

    Raises:
        SupersededError: It serves something else.
    """
    found = cluster.get(name)
    serving = None if found is None or _is_being_deleted(found) else read(found).serving
    if serving not in expected:
        now = f"it serves {_describe(serving)}" if serving else "it no longer exists"
        raise SupersededError(
            f"Somebody else has changed {name} meanwhile: {now}. To replace that, deploy again."
        )
    return found


def _is_being_deleted(manifest: Manifest) -> bool:
    """Whether an InferenceService is being deleted."""
    return "deletionTimestamp" in manifest["metadata"]


def _describe(serving: Serving) -> str:
    text = f"version {serving.stable.version}"
    if serving.canary:
        text += f" with {serving.canary.percent}% {serving.canary.release.version}"
    return text
