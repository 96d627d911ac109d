"""Fingerprint: what a run finds outside of it, which decides whether later stages are cached."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from kfdet.cluster.parameters import CheckedSettings
from kfdet.components.component import component
from kfdet.components.image import IMAGE
from kfdet.parameters import Parameters


@component(IMAGE)
def fingerprint(
    dataset: str,
    state: dsl.Output[dsl.Artifact],
    parameters: Parameters,
    cluster: CheckedSettings,
    accelerator_count: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs",
    [("digest", str), ("serving", str), ("started", str), ("evaluation_accelerators", str)],
):
    """Check the parameters, and look at the dataset and the endpoint; never cached.

    Names do not change when that changes what they name.

    Args:
        dataset: Folder or bucket path with videos or images and their annotations.
        state: The digest as JSON: the trace that every run leaves, also one whose other stages
            come from the cache.
        parameters: All parameters, so that a bad one fails now.
        cluster: What only a cluster has, likewise.
        accelerator_count: How many GPUs training requests.

    Returns:
        A digest of the dataset that changes when a file is added, removed, renamed or written; the
        bucket path of the model that the new one is compared with, or nothing; the time, which
        decides between two runs that deploy; and how many GPUs evaluation requests.
    """
    from kfdet.stages.fingerprint import take_fingerprint

    return take_fingerprint(dataset, Path(state.path), parameters, cluster, accelerator_count)
