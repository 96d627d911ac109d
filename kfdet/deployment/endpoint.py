"""An endpoint as a value: what it serves, and how it is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kfdet.cluster import names
from kfdet.deployment.capacity import NO_CAPACITY, Capacity
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError

Mode = Literal["Standard", "RawDeployment", "Knative", "Serverless"]
"""How KServe runs an endpoint, in the words of its version: before 0.16, Standard is called
RawDeployment and Knative Serverless. 0.16 knows both words, but refuses any change of an endpoint
that has the older one."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a model in the bucket.

    Args:
        version: First 12 hexadecimal digits of its content's hash.
        storage_uri: s3://bucket/prefix; the model is at 1/saved_model.pb below it.
        metrics: A few figures of its evaluation, such as AP50.
        thresholds: What its evaluation recommends; None where it was not measured.
        start: What its training started from, such as "imagenet"; "" where that is not known.
        promotion: How it compared with what it replaced (fields of
            `kfdet.evaluation.comparison.Comparison`); {} where nothing was compared.
        started: When its run read the dataset, or somebody deployed it by hand: UTC as
            `kfdet.events.timestamp` gives it; "" where that is not known.
        run: The run that trained it: its ID on a cluster, its folder's name; "" where unknown.
        dataset: Fingerprint of the dataset that it learned from; "" where unknown.
        runtime: The ServingRuntime that it was tried with.
    """

    version: str
    storage_uri: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    thresholds: Thresholds | None = None
    start: str = ""
    promotion: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    run: str = ""
    dataset: str = ""
    runtime: str = names.RUNTIME


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

    def with_share(self, name: str, percent: int) -> Serving:
        """The canary for `percent` of the requests; 100 makes it the stable one.

        Raises:
            InputError: There is no canary.
        """
        if self.canary is None:
            raise InputError(
                f"{name} has no canary; version {self.stable.version} gets every request.",
                hint="`kfdet deploy --canary-percent` starts one.",
            )
        if percent == _ALL:
            return self.promoted(self.canary.release)
        return self.with_canary(self.canary.release, percent)

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
        # The runtime of that time may be gone.
        return Serving(replace(self.previous, runtime=names.RUNTIME), self.stable)


_ALL = 100


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
        confirmed: When the last run was started that gave its newest version once more; "": none.
        capacity: How many pods it has, and what each may use.
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
    confirmed: str = ""
    capacity: Capacity = NO_CAPACITY

    @property
    def newest(self) -> Release:
        """The release that came last, with the start of the last run that gave it."""
        newest = self.serving.newest
        return replace(newest, started=max(newest.started, self.confirmed))


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


def is_standard(mode: Mode | None) -> bool:
    """Whether KServe runs an endpoint as a plain Deployment, without Knative."""
    return mode in ("Standard", "RawDeployment")
