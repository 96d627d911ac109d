"""May a model take the place of the one that an endpoint serves? A refusal is noted there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.deployment.candidate import newer_than
from kfdet.deployment.endpoint import Endpoint, Refusal, Release
from kfdet.deployment.notes import note
from kfdet.deployment.publish import describe_version, version_of
from kfdet.deployment.rollout import check_deployment
from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model
from kfdet.errors import InputError
from kfdet.evaluation.comparison import common_labels, decide
from kfdet.evaluation.promotion import compare_models
from kfdet.parameters import Promotion
from kfdet.storage.copies import local_model
from kfdet.storage.download import is_there
from kfdet.storage.shards import open_records


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model may be served, why, and how it compares with what serves.

    Args:
        good: It may.
        reason: Why, in sentences.
        current: The endpoint as it was; None where there is none yet.
        comparison: Fields of `kfdet.evaluation.comparison.Comparison`; {} where nothing was
            compared.
    """

    good: bool
    reason: str
    current: Endpoint | None = None
    comparison: Mapping[str, Any] = field(default_factory=dict)


def find_rival(cluster: Cluster, name: str) -> str:
    """Bucket URI of the model that an endpoint serves to most requests; "": it serves none yet.

    Raises:
        InputError: The endpoint is somebody else's, or its model is gone from the bucket.
    """
    current = check_deployment(cluster, name, canary_percent=0)
    if current is None:
        return ""
    uri = current.serving.stable.storage_uri
    if not is_there(uri):
        raise InputError(
            f"the model that {name} serves is no longer in the bucket, so that none can be "
            "compared with it.",
            file=uri,
            hint="Deploy with --promote always.",
        )
    return uri


def may_replace(
    cluster: Cluster,
    name: str,
    model: Path,
    records: Path,
    promote: Promotion,
    *,
    started: str = "",
    seed: int = 0,
) -> Decision:
    """Compare a model with the one that an endpoint serves to most requests.

    A model of a run that was started earlier than that of the endpoint's newest version is
    superseded: it may not take its place, however good it is.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        model: Folder with numbered versions of a SavedModel.
        records: Folder of the TFRecord build, of whose validation or test side both are measured.
        promote: Required result of the comparison with the other one.
        started: When the model's run was started; "" supersedes nothing and is not superseded.
        seed: Seed of the bootstrap.

    Raises:
        InputError: The endpoint is somebody else's, its model is gone from the bucket, or the two
            have no label in common.
    """
    current = check_deployment(cluster, name, canary_percent=0)
    if settled := _without_comparison(current, name, model, promote, started):
        return settled
    assert current
    stable = current.serving.stable
    against = f"version {stable.version} of {name}"
    with (
        local_model(stable.storage_uri) as folder,
        Detector.load(folder, threshold=0.0) as old,
        Detector.load(model, threshold=0.0) as new,
        open_records(records) as opened,
    ):
        common_labels(new.labels or (), old.labels, against)
        comparison = compare_models(opened, new, old, against=against, seed=seed)
    good, reason = decide(promote, comparison)
    return Decision(good, reason, current, asdict(comparison))


def confirm(
    cluster: Cluster,
    name: str,
    model: Path,
    metrics: Mapping[str, Any],
    promote: Promotion,
    rival: str,
    *,
    started: str = "",
) -> Decision:
    """Decide by what the evaluation has compared, provided that the endpoint still serves that.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        model: Folder with numbered versions of a SavedModel.
        metrics: metrics.json of the evaluation.
        promote: Required result of the comparison with the other one.
        rival: What `find_rival` found before the evaluation.
        started: As for `may_replace`.

    Raises:
        InputError: The endpoint is somebody else's.
    """
    current = check_deployment(cluster, name, canary_percent=0)
    comparison = metrics.get("comparison") or {}
    if not metrics["verdict"]:
        return Decision(False, " ".join(metrics["verdict_reasons"]), current, comparison)
    if settled := _without_comparison(current, name, model, promote, started):
        return settled
    serves = current.serving.stable.storage_uri if current else ""
    if serves != rival:
        return Decision(
            False,
            f"Not promoted: {name} serves another version since this run began. Start the run "
            "again, which compares with that one; what was trained is kept.",
            current,
        )
    with_rival = bool(comparison) and comparison["against"] == describe_version(rival)
    reason = " ".join(metrics["verdict_reasons"])
    return Decision(True, reason, current, comparison if with_rival else {})


def _without_comparison(
    current: Endpoint | None, name: str, model: Path, promote: Promotion, started: str
) -> Decision | None:
    """The decision where there is nothing to compare; None where there is."""
    version = version_of(find_saved_model(model))
    newest = current.newest if current else None
    if newest and newest.version != version and newer_than(newest, started):
        return Decision(False, _superseded(name, newest, started), current)
    if promote == "always":
        return Decision(True, "Nothing was compared (--promote always).", current)
    if current is None:
        return Decision(True, f"{name} serves nothing yet.")
    if current.serving.stable.version == version:
        return Decision(True, f"{name} serves this version already.", current)
    return None


def note_refusal(cluster: Cluster, name: str, model: Path, decision: Decision) -> None:
    """Leave the refusal of a model on the endpoint, for `kfdet endpoints`; its pods go on.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        model: Folder with numbered versions of a SavedModel.
        decision: Why it was refused; with the endpoint as it was.
    """
    assert decision.current
    refusal = Refusal(
        version_of(find_saved_model(model)),
        decision.current.serving.stable.version,
        decision.reason,
        decision.comparison,
    )
    note(cluster, name, "refusal", names.REFUSED, asdict(refusal))


def _superseded(name: str, newest: Release, started: str) -> str:
    return (
        f"Superseded: {name} serves version {newest.version} of a run that was started later "
        f"({newest.started}; this one {started})."
    )
