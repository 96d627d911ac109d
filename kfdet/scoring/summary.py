"""The end of a scoring: the two tables of everything, summary.json, and the page."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import kfdet
from kfdet.errors import InputError
from kfdet.evaluation.report.page import Origin
from kfdet.evaluation.report.scoring import render_scoring
from kfdet.scoring.engine import Outcome
from kfdet.scoring.places import Place
from kfdet.scoring.plan import Failure, Plan
from kfdet.scoring.results import Scored, merge

PAGE = "index.html"
SUMMARY = "summary.json"

_NAMED = 3
"""Files that could not be scored, in an error message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in the folder of the results.

    Args:
        source: Address of the folder that was scored.
        target: Address of the folder of the results.
        model: Address of the model.
        files: How many files have a result.
        frames: How many frames they have.
        detections: How many objects were found.
        labels: The same by label.
        failed: The files that could not be scored.
        scored: How many of the files were scored this time.
        seconds: How long that took; of several groups together.
        waited: Seconds of these for copies from or to a bucket.
    """

    source: str
    target: str
    model: str
    files: int
    frames: int
    detections: int
    labels: dict[str, int]
    failed: tuple[Failure, ...]
    scored: int
    seconds: float
    waited: float

    def check(self) -> None:
        """Name the files that could not be scored.

        Raises:
            InputError: There are some.
        """
        if not self.failed:
            return
        count, named = len(self.failed), self.failed[:_NAMED]
        more = f" And {count - _NAMED} more." if count > _NAMED else ""
        raise InputError(
            f"{count} of {self.files + count} files could not be scored: "
            f"{' '.join(failure.problem for failure in named)}{more}",
            hint=f"The results of the others are in {self.target}. Replace or remove these files "
            "and score again, or accept it with --keep-going.",
        )


def summarise(plan: Plan, outcomes: Sequence[Outcome], target: Place) -> tuple[Summary, str]:
    """Write the tables, summary.json and the page; returns the summary and the page as HTML.

    Args:
        plan: What was scored.
        outcomes: Those of all its groups.
        target: The folder of the results.

    Raises:
        KfdetError: A result cannot be read.
    """
    failed = (*plan.unread, *(failure for each in outcomes for failure in each.failed))
    names = {failure.name for failure in failed}
    items = [item for item in plan.items if item.name not in names]
    with tempfile.TemporaryDirectory(prefix="kfdet-score-") as scratch:
        scored = merge(items, target, Path(scratch))
    labels: Counter[str] = Counter()
    for each in scored:
        labels.update(each.detections)
    summary = Summary(
        source=plan.source,
        target=plan.target,
        model=plan.model,
        files=len(scored),
        frames=sum(each.frames for each in scored),
        detections=labels.total(),
        labels={label: labels[label] for label in plan.labels or sorted(labels)},
        failed=tuple(sorted(failed, key=lambda failure: failure.name)),
        scored=sum(each.scored for each in outcomes),
        seconds=round(sum(each.seconds for each in outcomes), 3),
        waited=round(sum(each.waited for each in outcomes), 3),
    )
    target.write(SUMMARY, (json.dumps(asdict(summary), indent=1) + "\n").encode())
    page = _render(plan, summary, scored, target)
    target.write(PAGE, page.encode())
    return summary, page


def _render(plan: Plan, summary: Summary, scored: Sequence[Scored], target: Place) -> str:
    there = target.stamps()
    previews = {
        item.name: target.read(item.preview_name)
        for item in plan.items
        if item.preview and item.preview_name in there
    }
    rows = [(each.name, each.frames, sum(each.detections.values())) for each in scored]
    origin = Origin(plan.source, "", datetime.now(UTC), kfdet.__version__)
    return render_scoring(asdict(summary), plan.labels, rows, previews, origin)
