"""Rolling a release out to an endpoint without an interruption, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kfdet.cluster.api import Cluster, Manifest
from kfdet.cluster.parameters import SERVING_DEFAULTS, ServingSettings
from kfdet.cluster.refusals import ConflictError
from kfdet.deployment.canary import check_canary
from kfdet.deployment.candidate import SmokeTest, let_newer_one_end, try_out
from kfdet.deployment.capacity import Capacity, changed_capacity, first_capacity
from kfdet.deployment.endpoint import Endpoint, Mode, Release, Serving, check_name, is_standard
from kfdet.deployment.inference_service import build, is_managed, read
from kfdet.deployment.notes import note_confirmation
from kfdet.deployment.readiness import SupersededError, wait_until_ready
from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress, warn

_KNATIVE_GROUP = "serving.knative.dev"

_TRIES = 10
"""How often a switch is tried again after the endpoint's status changed meanwhile."""

_NONE_YET = "1"
"""A resourceVersion that no InferenceService has: applying it creates one or conflicts."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to deploy.

    Args:
        canary_percent: Percentage of the requests that the release gets beside the stable one;
            0: all.
        force: Overwrite fields that somebody else has changed.
        timeout: Seconds to wait until a version is ready.
        serving: How to run the endpoint; what is left out stays as it is.
    """

    canary_percent: int = 0
    force: bool = False
    timeout: float = 600.0
    serving: ServingSettings = SERVING_DEFAULTS


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
    mode = _mode_for(cluster, name, current, options.serving)
    if current and current.ready and _is_same(current.serving.stable, release):
        # As it was recorded: any other annotation would restart the pods.
        unchanged = replace(current.serving, canary=None)
        served = _switch(cluster, name, current, unchanged, mode, options)
        note_confirmation(cluster, served, release.started)
        return served

    if current is None:
        wanted = Serving(release)
    elif options.canary_percent:
        wanted = current.serving.with_canary(release, options.canary_percent)
    else:
        wanted = current.serving.promoted(release)
    return _try_and_switch(cluster, name, current, wanted, release, mode, options, smoke_test)


def roll_back(cluster: Cluster, name: str, options: Options, smoke_test: SmokeTest) -> Endpoint:
    """Remove the canary; without one, serve the previous version. A second call undoes the first.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        options: How; the canary share does not matter.
        smoke_test: Checks the previous version, beside the endpoint, before it gets requests.

    Raises:
        InputError: There is no such endpoint, or no previous version.
        KfdetError: The previous version does not become ready or does not answer well; the
            endpoint stays as it is.
    """
    current, mode = _existing(cluster, name)
    wanted = current.serving.rolled_back(name)
    if current.serving.canary:  # what is left serves already
        return _switch(cluster, name, current, wanted, mode, options)
    return _try_and_switch(cluster, name, current, wanted, wanted.stable, mode, options, smoke_test)


def share_out(cluster: Cluster, name: str, percent: int, options: Options) -> Endpoint:
    """Give the canary of an endpoint another share of the requests.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        percent: The canary's percentage; 100 makes it the stable version.
        options: How; the canary share does not matter.

    Raises:
        InputError: There is no such endpoint, or no canary.
        KfdetError: It does not become ready; the endpoint stays as it is.
    """
    current, mode = _existing(cluster, name)
    wanted = current.serving.with_share(name, percent)
    return _switch(cluster, name, current, wanted, mode, options)


def end_canary(cluster: Cluster, name: str, options: Options) -> Endpoint:
    """Give all requests to the stable version again.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        options: How; the canary share does not matter.

    Raises:
        InputError: There is no such endpoint.
    """
    current, mode = _existing(cluster, name)
    return _switch(cluster, name, current, replace(current.serving, canary=None), mode, options)


def rescale(cluster: Cluster, name: str, options: Options) -> Endpoint:
    """Give an endpoint other replicas or resources; what it serves stays.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        options: `serving` holds what changes.

    Raises:
        InputError: There is no such endpoint, or it cannot be run like that.
        KfdetError: It does not become ready; the endpoint stays as it is.
    """
    current, mode = _existing(cluster, name)
    capacity, _ = _capacity_for(name, current, mode, options)
    if capacity.own == current.capacity.own:
        return current
    return _switch(cluster, name, current, current.serving, mode, options)


def find_endpoint(cluster: Cluster, name: str) -> Endpoint:
    """An endpoint of kfdet.

    Raises:
        InputError: There is none of that name.
    """
    manifest = cluster.get(name)
    if manifest is None or not is_managed(manifest):
        raise InputError(
            f"there is no endpoint {name} in namespace {cluster.namespace}.",
            hint="`kfdet endpoints` lists them; -n chooses the namespace.",
        )
    return read(manifest)


def _existing(cluster: Cluster, name: str) -> tuple[Endpoint, Mode]:
    endpoint = find_endpoint(cluster, name)
    return endpoint, _mode_for(cluster, name, endpoint, SERVING_DEFAULTS)


def _is_same(release: Release, other: Release) -> bool:
    return (release.version, release.storage_uri) == (other.version, other.storage_uri)


def _mode_for(
    cluster: Cluster, name: str, current: Endpoint | None, asked: ServingSettings
) -> Mode:
    """How KServe runs the endpoint, or should: without Knative, unless it is asked for."""
    if current and current.mode:
        if asked.knative and is_standard(current.mode):
            raise InputError(
                f"{name} is run as a plain Deployment, which KServe does not change.",
                hint="Deploy under another name, or delete this endpoint first.",
            )
        return current.mode
    # The first version of KServe with this field is the first that knows the newer words.
    newer = cluster.endpoint_has_field("predictor", "storageUris")
    if not asked.knative:
        return "Standard" if newer else "RawDeployment"
    if not cluster.has_group(_KNATIVE_GROUP):
        raise InputError(
            "this cluster has no Knative.", hint="Deploy without --knative, or install Knative."
        )
    return "Knative" if newer else "Serverless"


def _capacity_for(
    name: str, current: Endpoint | None, mode: Mode, options: Options
) -> tuple[Capacity, list[str]]:
    """The capacity that the endpoint gets, and what somebody else keeps from it."""
    standard = is_standard(mode)
    if current is None:
        return first_capacity(options.serving, standard=standard), []
    return changed_capacity(
        options.serving, current.capacity, standard=standard, force=options.force
    )


def _try_and_switch(
    cluster: Cluster,
    name: str,
    current: Endpoint | None,
    wanted: Serving,
    release: Release,
    mode: Mode,
    options: Options,
    smoke_test: SmokeTest,
) -> Endpoint:
    """Serve `release` as a candidate, check it, and let the endpoint serve `wanted`."""
    capacity, _ = _capacity_for(name, current, mode, options)
    # A refusal should come now, not after the candidate.
    manifest = build(name, cluster.namespace, wanted, mode, capacity)
    cluster.apply(manifest, force=options.force, dry_run=True)
    let_newer_one_end(cluster, name, release, options.timeout)
    try_out(cluster, name, release, mode, capacity, smoke_test, options.timeout)
    return _switch(cluster, name, current, wanted, mode, options)


def _switch(
    cluster: Cluster,
    name: str,
    current: Endpoint | None,
    wanted: Serving,
    mode: Mode,
    options: Options,
) -> Endpoint:
    """Make the endpoint serve `wanted`; restore it when that does not become ready."""
    progress = Progress(f"switching {name} to {_describe(wanted)}", 1, "steps")
    before = current.serving if current else None
    kept: list[str] = []

    def manifest_after(found: Endpoint | None) -> Manifest:
        capacity, kept[:] = _capacity_for(name, found, mode, options)
        return build(name, cluster.namespace, wanted, mode, capacity)

    _exchange(cluster, name, before, wanted, manifest_after, force=options.force)
    if kept:
        warn(f"{name} keeps what somebody else has set: {', '.join(kept)} (--force changes it).")
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
        raise KfdetError(f"{error} {_put_back(cluster, name, current, wanted, mode)}") from error
    progress.update(1)
    served = read(manifest)
    _protect(cluster, name, manifest, current, served)
    return served


def _protect(
    cluster: Cluster, name: str, manifest: Manifest, current: Endpoint | None, served: Endpoint
) -> None:
    """Keep all but one of several pods while nodes are drained."""
    several = current is not None and current.capacity.least_pods > 1
    try:
        if served.capacity.least_pods > 1:
            cluster.protect(name, manifest)
        elif several:
            cluster.unprotect(name)
    except KfdetError as error:  # an account without this right still deploys
        warn(f"The PodDisruptionBudget of {name} could not be changed: {error}")


def _put_back(
    cluster: Cluster, name: str, current: Endpoint | None, wanted: Serving, mode: Mode
) -> str:
    """Undo a switch; returns a sentence about it for the user."""
    try:
        if current is None:
            _find(cluster, name, wanted)
            cluster.delete(name)
            return f"{name} was deleted again."
        as_before = build(name, cluster.namespace, current.serving, mode, current.capacity)
        _exchange(cluster, name, wanted, current.serving, lambda _: as_before, force=True)
    except SupersededError as error:
        return str(error)
    except KfdetError as error:
        return f"{name} could not be restored: {error} Use `kfdet rollback {name}`."
    return f"{name} serves {_describe(current.serving)} as before."


def _exchange(
    cluster: Cluster,
    name: str,
    before: Serving | None,
    after: Serving,
    manifest_after: Callable[[Endpoint | None], Manifest],
    *,
    force: bool,
) -> None:
    """Make the endpoint serve `after`, provided that it serves `before`; None: it does not exist.

    Raises:
        SupersededError: It serves something else: another deployment was faster.
    """
    for left in reversed(range(_TRIES)):
        # `after`: an answer was lost, or somebody else wants the same.
        found = _find(cluster, name, before, after)
        manifest = manifest_after(read(found) if found else None)
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
