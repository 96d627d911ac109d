"""A whole scoring in this process; on a cluster the stages do the same in several pods."""

from __future__ import annotations

from pathlib import Path

from kfdet.detection import Detector
from kfdet.errors import InputError
from kfdet.parameters import ScoringSettings
from kfdet.scoring.engine import score_items
from kfdet.scoring.places import open_place, owned
from kfdet.scoring.plan import (
    Plan,
    check_places,
    find_unread,
    model_digest,
    nothing_to_score,
    plan_items,
)
from kfdet.scoring.summary import Summary, summarise
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.copies import local_model


def score(source: str, target: str, model: str, settings: ScoringSettings) -> Summary:
    """Score every picture and video of a folder, but those whose results are there already.

    Args:
        source: A folder, or the URI of one in a bucket.
        target: The folder of the results, likewise.
        model: As for `kfdet.storage.copies.local_model`.
        settings: How.

    Returns:
        What is in the folder of the results; `Summary.check` refuses files that failed.

    Raises:
        InputError: There is no model, nothing to score, or another process scores into the folder.
        KfdetError: The store stopped answering, or the model answers with broken numbers.
    """
    settings.check()
    check_places(source, target)
    with (
        local_model(model) as path,
        load(path, settings) as detector,
        open_place(source) as files,
        open_place(target) as results,
    ):
        plan = make_plan(source, target, model, detector, model_digest(path), settings)
        with owned(target):
            outcome = score_items(detector, plan.items, files, results, settings.every)
            return summarise(plan, [outcome], results)[0]


def load(model: str, settings: ScoringSettings) -> Detector:
    """The detector at `model`, which is on this machine or an endpoint, with a threshold."""
    return Detector.load(model, threshold=settings.threshold or None).with_some_threshold()


def make_plan(
    source: str,
    target: str,
    model: str,
    detector: Detector,
    digest: str,
    settings: ScoringSettings,
    groups: int = 1,
) -> Plan:
    """Look what is to be scored.

    Args:
        source: A folder, or the URI of one in a bucket.
        target: The folder of the results, likewise.
        model: Address of the model.
        detector: The same, loaded.
        digest: As `model_digest` gives it.
        settings: How it is scored.
        groups: How many groups of files there are at most.

    Raises:
        InputError: There are neither pictures nor videos.
    """
    if not is_bucket_uri(source) and not Path(source).exists():
        raise InputError(
            "no such folder.", file=source, hint="Give the folder of the pictures and videos."
        )
    with open_place(source) as place:
        stamps = place.stamps()
        items = plan_items(stamps, digest, settings, groups)
        if not items:
            raise nothing_to_score(source)
        unread = find_unread(stamps, place.address)
    return Plan(source, target, model, detector.labels or (), settings, items, unread)
