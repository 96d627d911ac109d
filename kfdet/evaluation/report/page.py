"""The report: one HTML file that needs nothing else, made from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from kfdet.evaluation.error_analysis import Curve, ErrorAnalysis
from kfdet.evaluation.report.advice import advise
from kfdet.evaluation.report.charts import COLORS, Chart, Series, line_chart
from kfdet.evaluation.report.gallery import Shot, data_uri
from kfdet.files import read_zip
from kfdet.records.statistics import SAMPLES_FILE

_FILM_BYTES = 8 * 1024 * 1024
_CURVES = COLORS - 1
_TIMELINES = 16
_LOG_SPAN = 10.0  # a loss that falls by more than this is shown on a logarithmic axis


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a video's timeline: "train", "val" or "unused"; shares of 0..100."""

    kind: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened to the frames of one source."""

    name: str
    frames: int
    train: int
    val: int
    spans: list[Span]


def render_report(
    metrics: Mapping[str, Any],
    analysis: ErrorAnalysis,
    dataset: Mapping[str, Any],
    history: Mapping[str, Any],
    model: Mapping[str, Any],
    shots: Mapping[str, Sequence[Shot]],
    samples: Sequence[Shot],
    film: bytes | None,
) -> str:
    """The report as HTML.

    Args:
        metrics: As `kfdet.evaluation.metrics.describe` gives it.
        analysis: For the precision-recall curves.
        dataset: dataset.json of the records.
        history: history.json of the training, {} where there is none.
        model: Network, input size, versions and hashes, in the order to show.
        shots: "false_positives", "misses" and "typical" pictures.
        samples: Sample pictures that were written with the records.
        film: MP4; left out where there is none or it is too large to be embedded.
    """
    environment = Environment(
        loader=PackageLoader("kfdet.evaluation.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, thousands=_thousands)
    film_uri = data_uri(film, "video/mp4") if film and len(film) <= _FILM_BYTES else ""
    timelines = _timelines(dataset)
    return environment.get_template("report.html").render(
        metrics=metrics,
        dataset=dataset,
        history=history,
        model=model,
        shots=shots,
        samples=samples,
        film=film_uri,
        film_too_large=bool(film) and not film_uri,
        advice=advise(metrics, dataset, history),
        curves=_precision_recall(analysis),
        curves_left_out=sum(c is not None for c in analysis.per_class.values()) > _CURVES,
        training=_training(history),
        timelines=timelines[:_TIMELINES],
        timelines_left_out=max(0, len(timelines) - _TIMELINES),
        confusion=_heat(metrics["confusion_matrix"]),
    )


def read_samples(records: Path, dataset: Mapping[str, Any]) -> list[Shot]:
    """The sample pictures that were written with the records."""
    samples = dataset.get("samples", [])
    pictures = read_zip(records / SAMPLES_FILE) if samples else {}
    return [
        Shot(
            name=sample["file"],
            jpeg=pictures[sample["file"]],
            video=sample["video"],
            frame=sample["frame"],
            caption=f"{_SPLIT_NAMES[sample['split']]}, {sample['kind']}",
        )
        for sample in samples
    ]


_SPLIT_NAMES = {"train": "training", "val": "validation"}


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _thousands(value: int) -> str:
    """Digits in groups of three with thin, unbreakable spaces."""
    return f"{value:,}".replace(",", "\u202f")


def _precision_recall(analysis: ErrorAnalysis) -> Chart | None:
    """All labels together, then the labels with the worst best point first."""
    curves = [(label, curve) for label, curve in analysis.per_class.items() if _drawable(curve)]
    if not curves:
        return None
    curves.sort(key=lambda item: _f1(item[1]))
    series = [_series("all labels", analysis.overall, strong=True)] if len(curves) > 1 else []
    shown = curves[:_CURVES]
    series += [_series(label, curve) for label, curve in sorted(shown) if curve is not None]
    return line_chart(
        series,
        description="Precision over recall; the dot is the point with the highest F1.",
        x_label="Recall: share of the objects that are found",
        y_label="Precision",
        x_range=(0, 1),
        y_range=(0, 1),
    )


def _drawable(curve: Curve | None) -> bool:
    return curve is not None and len(curve.scores) > 0


def _f1(curve: Curve | None) -> float:
    if curve is None or curve.best is None:
        return 0.0
    precision, recall = float(curve.precision[curve.best]), float(curve.recall[curve.best])
    return 2 * precision * recall / (precision + recall)


def _series(name: str, curve: Curve, *, strong: bool = False) -> Series:
    marker = None
    if curve.best is not None:
        marker = (float(curve.recall[curve.best]), float(curve.precision[curve.best]))
    return Series(name, curve.recall, curve.precision, marker, strong)


def _training(history: Mapping[str, Any]) -> list[tuple[str, Chart]]:
    """Charts of the loss and of the validations, as far as there are any."""
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
        steps = [value["step"] for value in val]
        best = max(val, key=lambda value: value["AP50"])
        chart = line_chart(
            [
                Series("AP50", steps, [v["AP50"] for v in val], (best["step"], best["AP50"]), True),
                Series("AP", steps, [v["AP"] for v in val]),
            ],
            description=f"AP50 and AP on validation frames; AP50 was best at step {best['step']}.",
            x_label="Step",
            y_label="AP50 and AP",
            x_range=(0, max([*steps, *history.get("steps", [])])),
            y_range=(0, 1),
        )
        charts.append(("Validation while training", chart))
    return charts


def _timelines(dataset: Mapping[str, Any]) -> list[Timeline]:
    """The videos and which of their frames training and evaluation saw."""
    timelines = []
    for source in dataset["sources"]:
        if source["kind"] != "video":
            continue
        total = max(1, source["frames"])
        spans = [
            Span(kind, 100 * first / total, 100 * (last - first + 1) / total)
            for kind in ("train", "val")
            for first, last in source[kind]
        ]
        timelines.append(
            Timeline(
                source["name"],
                source["frames"],
                source["train_examples"],
                source["val_examples"],
                sorted(spans, key=lambda span: span.start),
            )
        )
    return timelines


def _heat(confusion: Mapping[str, Any]) -> list[list[tuple[int, int]]]:
    """Each cell with its share in whole per cent: of the row, in the background row of the column.

    The objects of a label add up along its row; background has no total of its own.
    """
    matrix = np.array(confusion["matrix"])
    totals = np.repeat(matrix.sum(axis=1, keepdims=True), len(matrix), axis=1)
    totals[-1] = matrix.sum(axis=0)
    shares = np.round(100 * matrix / np.maximum(totals, 1)).astype(int)
    return [
        list(zip(counts, row, strict=True))
        for counts, row in zip(matrix.tolist(), shares.tolist(), strict=True)
    ]
