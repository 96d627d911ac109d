"""Stage: what tells the dataset from any other, so that the stages after it run again for that."""

from __future__ import annotations

from kfdet.events import emit
from kfdet.storage.fingerprint import fingerprint


def fingerprint_dataset(dataset: str) -> str:
    """The fingerprint of a dataset; nothing of it is downloaded.

    It is also an event, because `kfdet submit` cannot see the outputs of a task.

    Args:
        dataset: The dataset's folder or bucket URI.

    Raises:
        InputError: There is no dataset, or the store cannot be read.
    """
    found = fingerprint(dataset)
    emit("fingerprint", value=found)
    return found
