"""Fingerprint: what a run finds outside of it, which decides whether later stages are cached."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def fingerprint(
    dataset: str, endpoint: str, promote: str, state: dsl.Output[dsl.Artifact]
) -> NamedTuple("Outputs", [("digest", str), ("serving", str)]):  # type: ignore[valid-type]
    """Look at the dataset and the endpoint; never cached, because their names do not change.

    Args:
        dataset: Folder or bucket path with videos or images and their annotations.
        endpoint: The InferenceService that the model is for; empty: none.
        promote: What the model must be beside the one that the endpoint serves: always, not-worse
            or better.
        state: The digest as JSON: the trace that every run leaves, also one whose other stages
            come from the cache.

    Returns:
        A digest of the dataset that changes when a file is added, removed, renamed or written; and
        the bucket path of the model that the new one is compared with, or nothing.
    """
    from kfdet.stages.fingerprint import take_fingerprint

    return take_fingerprint(
        dataset,
        endpoint,
        promote,  # type: ignore[arg-type]  # KFP knows text only
        Path(state.path),
    )
