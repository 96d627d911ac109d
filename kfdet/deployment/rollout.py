"""Bringing a release to an endpoint without an interruption, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kfdet.cluster import names
from kfdet.cluster.api import Cluster, ConflictError
from kfdet.deployment.canary import check_canary
from kfdet.deployment.endpoint import (
    Endpoint,
    Manifest,
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
from kfdet.events import Progress, warn

_KNATIVE_GROUP = "serving.knative.dev"

_TRIES = 10
"""How often an endpoint is looked at again because its status changed before it was switched."""

_NONE_YET = "1"
"""A resourceVersion that no InferenceService has: applying it makes one or is a conflict."""

SmokeTest = Callable[[Endpoint], None]
"""Asks an endpoint for detections; raises KfdetError when they cannot be right."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to deploy.

    Args:
        canary_percent: Share of the requests that the release gets beside the stable one; 0: all.
        force: Take fields over that somebody else has changed.
        timeout: Seconds that a version may take until it is ready.
    """

    canary_percent: int = 0
    force: bool = False
    timeout: float = 600.0


def check_deployment(cluster: Cluster, name: str, canary_percent: int) -> Endpoint | None:
    """Find what would stop a deployment, before anything is uploaded or applied.

    Args:
        cluster: Where to deploy.
        name: The endpoint.
        canary_percent: Share of the requests, 0 to 99.

    Returns:
        The endpoint as it is; None where there is none yet.

    Raises:
        InputError: The name, the share, the cluster or somebody else's InferenceService does not
            allow it.
    """
    check_name(name)
    if not 0 <= canary_percent < 100:
        raise InputError(
            f"{canary_percent} % is no share of the requests.",
            hint="Give 1 to 99, or 0 for all of them.",
        )
    manifest = cluster.get(name)
    if manifest is None or _is_going(manifest):
        if canary_percent:
            warn(f"{name} does not exist yet: its first version gets every request.")
        return None
    if not is_managed(manifest):
        raise InputError(
            f"there is an InferenceService {name} in namespace {cluster.namespace} that kfdet did "
            "not make.",
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

    A candidate beside the endpoint shows first that the cluster can serve the release and that it
    answers well. Whatever goes wrong, the endpoint stays, or becomes again, what it was.

    Args:
        cluster: Where to deploy.
        name: The endpoint.
        current: The endpoint as `check_deployment` found it.
        release: What to serve; its files are in the bucket.
        options: How.
        smoke_test: Tries the candidate.

    Returns:
        The endpoint afterwards.

    Raises:
        InputError: The cluster does not let kfdet do it, or somebody else changed the endpoint.
        SupersededError: Another deployment has switched the endpoint meanwhile.
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
    # What the cluster would refuse at the end is better known at the beginning.
    manifest = build(name, cluster.namespace, wanted, mode)
    cluster.apply(manifest, force=options.force, dry_run=True)
    mode = _try_out(cluster, name, release, mode, options, smoke_test)
    return _switch(cluster, name, current, wanted, mode, options)


def roll_back(cluster: Cluster, name: str, options: Options) -> Endpoint:
    """Take a canary away; without one, serve the version before. Twice: as it was.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        options: How; the canary share does not matter.

    Raises:
        InputError: There is no such endpoint, or no version before.
        KfdetError: The version before does not become ready; then the endpoint stays as it is.
    """
    manifest = cluster.get(name)
    if manifest is None or not is_managed(manifest):
        raise InputError(
            f"there is no endpoint {name} of kfdet's in namespace {cluster.namespace}.",
            hint="`kfdet endpoints` lists them; -n chooses the namespace.",
        )
    current = read(manifest)
    wanted = current.serving.rolled_back(name)
    return _switch(cluster, name, current, wanted, current.mode, options)


def _mode_for(cluster: Cluster, current: Endpoint | None) -> Mode | None:
    """How KServe runs the endpoint, or should; None: Knative is there, the cluster decides."""
    if current and current.mode:
        return current.mode
    return None if cluster.has_group(_KNATIVE_GROUP) else "Standard"


def _try_out(
    cluster: Cluster,
    name: str,
    release: Release,
    mode: Mode | None,
    options: Options,
    smoke_test: SmokeTest,
) -> Mode | None:
    """Serve `release` beside the endpoint and ask it; returns how KServe runs it."""
    candidate = name + names.CANDIDATE_SUFFIX
    progress = Progress(f"trying out {candidate}", 2, "steps")
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
        smoke_test(tried)
        progress.update(2, "answers well")
    finally:
        # Before the endpoint's own new pod: a small cluster has no room for three.
        _delete_own(cluster, candidate, release)
    return tried.mode


def _delete_own(cluster: Cluster, candidate: str, release: Release) -> None:
    """Delete the candidate unless another deployment has put its own version there."""
    manifest = cluster.get(candidate)
    annotations = manifest["metadata"].get("annotations") or {} if manifest else {}
    if annotations.get(names.VERSION) == release.version:
        cluster.delete(candidate)


def _switch(
    cluster: Cluster,
    name: str,
    current: Endpoint | None,
    wanted: Serving,
    mode: Mode | None,
    options: Options,
) -> Endpoint:
    """Make the endpoint serve `wanted`; put it back when that does not become ready."""
    progress = Progress(f"switching {name} to {_describe(wanted)}", 1, "steps")
    before = current.serving if current else None
    _exchange(cluster, name, before, wanted, mode, force=options.force)
    newest = wanted.canary.release if wanted.canary else wanted.stable
    try:
        manifest = wait_until_ready(
            cluster,
            name,
            wanted.stable.version,
            newest.storage_uri,
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
    """Undo a switch; returns what to tell the user about it."""
    try:
        if before is None:
            _find(cluster, name, wanted)
            cluster.delete(name)
            return f"{name} was taken away again."
        _exchange(cluster, name, wanted, before, mode, force=True)
    except SupersededError as error:
        return str(error)
    except KfdetError as error:
        return f"Nor could {name} be put back: {error} Use `kfdet rollback {name}`."
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
    """Make the endpoint serve `after`, provided that it serves `before`; None: there is none.

    Raises:
        SupersededError: It serves something else: another deployment was quicker.
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
    serving = None if found is None or _is_going(found) else read(found).serving
    if serving not in expected:
        now = f"it serves {_describe(serving)}" if serving else "there is none any more"
        raise SupersededError(
            f"Somebody else has changed {name} meanwhile: {now}. If that is not to stay, deploy "
            "again."
        )
    return found


def _is_going(manifest: Manifest) -> bool:
    """Whether an InferenceService has been deleted and KServe is tidying up."""
    return "deletionTimestamp" in manifest["metadata"]


def _describe(serving: Serving) -> str:
    text = f"version {serving.stable.version}"
    if serving.canary:
        text += f" with {serving.canary.percent} % {serving.canary.release.version}"
    return text
