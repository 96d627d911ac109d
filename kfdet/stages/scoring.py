"""Scoring stage: the files of one group through the model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from kfdet.files import atomic_file
from kfdet.scoring.engine import score_items
from kfdet.scoring.places import open_place, owned
from kfdet.scoring.plan import Plan
from kfdet.scoring.run import load
from kfdet.storage.copies import local_model


def score_group(plan: Path, group: int, outcome: Path) -> None:
    """Score those files of a group whose results are not there yet.

    Results go straight to their folder, so that a pod that takes the place of a killed one goes on.

    Args:
        plan: The file that the scoring plan wrote.
        group: Index of the group.
        outcome: JSON file to write: what the scoring came to.

    Raises:
        InputError: The results cannot be written.
        KfdetError: The store stopped answering, or the model answers with broken numbers.
    """
    planned = Plan.read(plan)
    items = [item for item in planned.items if item.group == group]
    part = hashlib.sha256("\n".join(item.result for item in items).encode()).hexdigest()[:12]
    with (
        owned(planned.target, part),
        local_model(planned.model) as path,
        load(path, planned.settings) as detector,
        open_place(planned.source) as source,
        open_place(planned.target) as target,
    ):
        done = score_items(detector, items, source, target, planned.settings.every)
    with atomic_file(outcome) as temporary:
        temporary.write_text(json.dumps(asdict(done)) + "\n", encoding="utf-8")
