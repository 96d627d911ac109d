"""The curves of the report: precision over recall, and the course of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfdet.detection.drawing import palette
from kfdet.evaluation.error_analysis import Curve, ErrorAnalysis
from kfdet.evaluation.report.charts import Chart, Series, css_color, line_chart

MOST_LABELS = 7
"""Curves of more labels than that cannot be told apart in one chart."""
_LOG_SPAN = 10.0  # a loss that falls by more than this is shown on a logarithmic axis


def precision_recall(analysis: ErrorAnalysis) -> Chart | None:
    """All labels together, and the MOST_LABELS labels whose best points are worst."""
    labels = [label for label, curve in analysis.per_class.items() if _drawable(curve)]
    if not labels:
        return None
    colors = palette(list(analysis.per_class))
    weakest = sorted(labels, key=lambda label: _f1(analysis.per_class[label]))[:MOST_LABELS]
    series = [_series("all labels", analysis.overall, strong=True)] if len(labels) > 1 else []
    drawn: set[str] = set()
    for label in sorted(weakest):
        curve = analysis.per_class[label]
        assert curve is not None
        color = css_color(colors[label])
        series.append(_series(label, curve, color, dashed=color in drawn))
        drawn.add(color)
    return line_chart(
        series,
        description="Precision over recall; the dot is the point with the highest F1.",
        x_label="Recall: share of the objects that are found",
        y_label="Precision",
        x_range=(0, 1),
        y_range=(0, 1),
    )


def training_charts(
    history: Mapping[str, Any], kept_step: int | None = None
) -> list[tuple[str, Chart]]:
    """Charts of the loss and of the validations with their titles, as far as there are any.

    Args:
        history: history.json of the training, {} where there is none.
        kept_step: Step of the validation whose weights were exported, which is marked.
    """
    charts = []
    loss = history.get("loss", [])
    if len(loss) > 1:
        steep = min(loss) > 0 and max(loss) > _LOG_SPAN * min(loss)
        chart = line_chart(
            [Series("loss", history["steps"], loss, strong=True)],
            description=f"Training loss, from {loss[0]:.3g} to {loss[-1]:.3g}.",
            x_label="Step",
            y_label="Loss, logarithmic" if steep else "Loss",
            log_y=steep,
        )
        charts.append(("Training loss", chart))
    val = history.get("val", [])
    if val:
        charts.append(("Validation while training", _validations(history, val, kept_step)))
    return charts


def _validations(
    history: Mapping[str, Any], val: list[Mapping[str, Any]], kept_step: int | None
) -> Chart:
    steps = [value["step"] for value in val]
    kept = next((v for v in val if v["step"] == kept_step), None)
    kept = kept or max(val, key=lambda value: (value["AP50"], value["step"]))
    marker = (kept["step"], kept["AP50"])
    return line_chart(
        [
            Series("AP50", steps, [v["AP50"] for v in val], marker, strong=True),
            Series("AP", steps, [v["AP"] for v in val], color="var(--soft)", dashed=True),
        ],
        description=f"AP50 and AP on evaluation frames; the weights of step {kept['step']} were "
        "kept.",
        x_label="Step",
        y_label="AP50 and AP",
        x_range=(0, max([*steps, *history.get("steps", [])])),
        y_range=(0, 1),
    )


def _drawable(curve: Curve | None) -> bool:
    return curve is not None and len(curve.scores) > 0


def _f1(curve: Curve | None) -> float:
    if curve is None or curve.best is None:
        return 0.0
    precision, recall = float(curve.precision[curve.best]), float(curve.recall[curve.best])
    return 2 * precision * recall / (precision + recall)


def _series(
    name: str,
    curve: Curve,
    color: str = "var(--ink)",
    *,
    strong: bool = False,
    dashed: bool = False,
) -> Series:
    marker = None
    if curve.best is not None:
        marker = (float(curve.recall[curve.best]), float(curve.precision[curve.best]))
    return Series(name, curve.recall, curve.precision, marker, color, strong, dashed)
