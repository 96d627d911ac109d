"""Fingerprint stage: what a run finds outside of it, so that stages run again when that changes."""

from __future__ import annotations

import json
from pathlib import Path

from kfdet.cluster.connection import connect_to_deploy
from kfdet.deployment.gate import find_rival
from kfdet.files import atomic_file
from kfdet.parameters import Promotion
from kfdet.storage.fingerprint import fingerprint


def take_fingerprint(
    dataset: str, endpoint: str, promote: Promotion, state: Path
) -> tuple[str, str]:
    """The fingerprint of a dataset, nothing of which is downloaded, and what an endpoint serves.

    Args:
        dataset: The dataset's folder or bucket URI.
        endpoint: The endpoint that the model is for; "": none.
        promote: What the model must be beside the one that the endpoint serves.
        state: JSON file to write, with `dataset` and `fingerprint`: outside of a run, nobody can
            see the outputs of its tasks, but files that it has written.

    Returns:
        The fingerprint, and the bucket URI of the model to compare with; "" where there is none.

    Raises:
        InputError: There is no dataset, the store cannot be read, the endpoint is somebody
            else's, or its model is gone from the bucket.
    """
    found = fingerprint(dataset)
    with atomic_file(state) as path:
        path.write_text(json.dumps({"dataset": dataset, "fingerprint": found}) + "\n")
    if not endpoint or promote == "always":
        return found, ""
    return found, find_rival(connect_to_deploy(), endpoint)
