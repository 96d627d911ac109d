"""Fingerprint: what the dataset holds now, which decides whether later stages are cached."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def fingerprint(dataset: str, state: dsl.Output[dsl.Artifact]) -> str:
    """Take a digest of the dataset's files; never cached, because an address does not change.

    Args:
        dataset: Folder or bucket path with videos or images and their annotations.
        state: The digest as JSON: the trace that every run leaves, also one whose other stages
            come from the cache.

    Returns:
        A digest that changes when a file is added, removed, renamed or written.
    """
    from kfdet.stages.fingerprint import fingerprint_dataset

    return fingerprint_dataset(dataset, Path(state.path))
