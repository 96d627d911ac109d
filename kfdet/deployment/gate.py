"""May a model take the place of the one that an endpoint serves? A refusal is noted there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.deployment.endpoint import Endpoint, Refusal, Release
from kfdet.deployment.publish import version_of
from kfdet.deployment.rollout import check_deployment, newer_than
from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model
from kfdet.errors import KfdetError
from kfdet.evaluation.comparison import Comparison, common_labels, decide
from kfdet.evaluation.promotion import compare_models
from kfdet.events import warn
from kfdet.parameters import Promotion
from kfdet.storage.copies import local_model


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model may be served, why, and how it compares with what serves.

    Args:
        good: It may.
        reason: Why, in sentences.
        current: The endpoint as it was; None where there is none yet.
        comparison: With what the endpoint serves; None where nothing was compared.
    """

    good: bool
    reason: str
    current: Endpoint | None = None
    comparison: Comparison | None = None


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
        promote: What the model must be beside the other one.
        started: When the model's run was started; "" supersedes nothing and is not superseded.
        seed: Seed of the bootstrap.

    Raises:
        InputError: The endpoint is somebody else's, its model is gone from the bucket, or the two
            have no label in common.
    """
    current = check_deployment(cluster, name, canary_percent=0)
    version = version_of(find_saved_model(model))
    newest = current.serving.newest if current else None
    if newest and newest.version != version and newer_than(newest, started):
        return Decision(False, _superseded(name, newest, started), current)
    if promote == "always":
        return Decision(True, "Nothing was compared (--promote always).", current)
    if current is None:
        return Decision(True, f"{name} serves nothing yet.")
    stable = current.serving.stable
    if stable.version == version:
        return Decision(True, f"{name} serves this version already.", current)
    against = f"version {stable.version} of {name}"
    with (
        local_model(stable.storage_uri) as folder,
        Detector.load(folder, threshold=0.0) as old,
        Detector.load(model, threshold=0.0) as new,
    ):
        common_labels(new.labels or (), old.labels, against)
        comparison = compare_models(records, new, old, against=against, seed=seed)
    good, reason = decide(promote, comparison)
    return Decision(good, reason, current, comparison)


def note_refusal(cluster: Cluster, name: str, model: Path, decision: Decision) -> None:
    """Leave the refusal of a model on the endpoint, for `kfdet endpoints`; its pods go on.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        model: Folder with numbered versions of a SavedModel.
        decision: What `may_replace` said.
    """
    assert decision.current
    refusal = Refusal(
        version_of(find_saved_model(model)),
        decision.current.serving.stable.version,
        decision.reason,
        asdict(decision.comparison) if decision.comparison else {},
    )
    try:
        cluster.annotate_status(name, {names.REFUSED: json.dumps(asdict(refusal), sort_keys=True)})
    except KfdetError as error:  # an account without this right still refuses
        warn(f"The refusal could not be noted at {name}: {error}")


def _superseded(name: str, newest: Release, started: str) -> str:
    return (
        f"Superseded: {name} serves version {newest.version} of a run that was started later "
        f"({newest.started}; this one {started})."
    )
