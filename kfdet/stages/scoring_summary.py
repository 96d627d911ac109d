"""Scoring summary stage: the results of all files as two tables, and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kfdet.files import atomic_file
from kfdet.scoring.engine import read_outcome
from kfdet.scoring.places import open_place
from kfdet.scoring.plan import Plan
from kfdet.scoring.summary import Summary, summarise


def summarise_scoring(plan: Path, outcomes: Sequence[Path], page: Path, summary: Path) -> Summary:
    """Write the tables, summary.json and the page beside the results; the last two here, too.

    Args:
        plan: The file that the scoring plan wrote.
        outcomes: The files that the groups wrote.
        page: HTML file to write.
        summary: JSON file to write.

    Returns:
        What is in the folder of the results.

    Raises:
        InputError: Files could not be scored, and the settings do not accept that.
    """
    planned = Plan.read(plan)
    with open_place(planned.target) as target:
        done, text = summarise(planned, [read_outcome(path) for path in outcomes], target)
    for path, content in ((page, text), (summary, json.dumps(asdict(done)) + "\n")):
        with atomic_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    if not planned.settings.keep_going:
        done.check()
    return done
