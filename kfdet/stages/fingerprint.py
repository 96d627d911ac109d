"""Stage: what tells the dataset from any other, so that the stages after it run again for that."""

from __future__ import annotations

import json
from pathlib import Path

from kfdet.files import atomic_file
from kfdet.storage.fingerprint import fingerprint


def fingerprint_dataset(dataset: str, state: Path) -> str:
    """The fingerprint of a dataset; nothing of it is downloaded.

    Args:
        dataset: The dataset's folder or bucket URI.
        state: JSON file to write, with `dataset` and `fingerprint`: outside of a run, nobody can
            see the outputs of its tasks, but files that it has written.

    Raises:
        InputError: There is no dataset, or the store cannot be read.
    """
    found = fingerprint(dataset)
    with atomic_file(state) as path:
        path.write_text(json.dumps({"dataset": dataset, "fingerprint": found}) + "\n")
    return found
