"""Scoring summary: the results of all files as two tables, and a page."""

from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def scoring_summary(
    plan: dsl.Input[dsl.Artifact],
    outcomes: dsl.Input[list[dsl.Artifact]],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Metrics],
) -> None:
    """Write the tables of all frames and all detections, and a page, beside the results.

    Args:
        plan: The plan.
        outcomes: What the scoring of the groups came to.
        page: What was found, with pictures, as one self-contained HTML page.
        summary: summary.json: files, frames, detections by label, what could not be scored.
    """
    from kfdet.stages.scoring_summary import summarise_scoring

    done = summarise_scoring(
        Path(plan.path),
        [Path(artifact.path) for artifact in outcomes],
        Path(page.path),
        Path(summary.path),
    )
    for name in ("files", "frames", "detections"):
        summary.log_metric(name, getattr(done, name))
    summary.log_metric("failed", len(done.failed))
