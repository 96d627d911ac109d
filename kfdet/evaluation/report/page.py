"""The report: one HTML file that needs nothing else, made from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from kfdet.dataset.formats.archive import read_members
from kfdet.detection.drawing import palette
from kfdet.errors import InputError
from kfdet.evaluation.confusion import LARGEST, worst_pairs
from kfdet.evaluation.error_analysis import ErrorAnalysis
from kfdet.evaluation.report.advice import advise
from kfdet.evaluation.report.charts import css_color
from kfdet.evaluation.report.command import Command
from kfdet.evaluation.report.curves import MOST_LABELS, precision_recall, training_charts
from kfdet.evaluation.report.gallery import Shot, data_uri
from kfdet.evaluation.report.timeline import shortest_gap_seconds, timelines
from kfdet.records.reading import Records
from kfdet.records.statistics import SAMPLES_FILE

_MOST_VIDEO_BYTES = 8 * 1024 * 1024
_MOST_TIMELINES = 16
_MOST_SAMPLE_BYTES = 64 << 20
_MOST_ROWS = 30
"""Of a table that has a row for each video or label; of more, those with the lowest AP50."""
_SPLIT_NAMES = {"train": "training", "val": "evaluation"}
_KIND_NAMES = {"frame": "with objects", "background": "background", "crop": "background crop"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a report is about, so that two of them can be told apart.

    Args:
        dataset: Name of the dataset; "" where it is not known.
        command: The command that made the run; "" where it is not known.
        made: When it was evaluated, with time zone.
        version: Version of kfdet.
    """

    dataset: str
    command: str
    made: datetime
    version: str


def render_report(
    metrics: Mapping[str, Any],
    analysis: ErrorAnalysis,
    statistics: Mapping[str, Any],
    history: Mapping[str, Any],
    model: Mapping[str, Any],
    shots: Mapping[str, Sequence[Shot]],
    samples: Sequence[Shot],
    video: bytes | None,
    origin: Origin,
    comparison: str = "",
) -> str:
    """The report as HTML.

    Args:
        metrics: As `kfdet.evaluation.metrics.describe` gives it.
        analysis: For the precision-recall curves.
        statistics: dataset.json of the records.
        history: history.json of the training, {} where there is none.
        model: Network, input size, versions and hashes, in the order to show.
        shots: "false_positives", "misses" and "typical" pictures.
        samples: Sample pictures that were written with the records.
        video: Detections as MP4; left out where there are none or it is too large to be embedded.
        origin: Dataset, command, date and version to show.
        comparison: How the model compares with another one, in sentences.
    """
    video_uri = data_uri(video, "video/mp4") if video and len(video) <= _MOST_VIDEO_BYTES else ""
    lines = timelines(statistics)
    drawn = sum(c is not None and len(c.scores) > 0 for c in analysis.per_class.values())
    template = environment().get_template("report.html")
    return template.render(
        metrics=metrics,
        statistics=statistics,
        history=history,
        model=model,
        shots=shots,
        samples=samples,
        video=video_uri,
        video_too_large=bool(video) and not video_uri,
        origin=origin,
        comparison=comparison,
        advice=advise(metrics, statistics, history, Command.parse(origin.command)),
        colors={name: css_color(c) for name, c in palette(statistics["labels"]).items()},
        images={source["name"] for source in statistics["sources"] if source["kind"] == "image"},
        gap_seconds=shortest_gap_seconds(statistics),
        val_kinds=_val_kinds(statistics),
        curves=precision_recall(analysis),
        curves_left_out=drawn > MOST_LABELS,
        training=training_charts(history, model.get("step")),
        timelines=lines[:_MOST_TIMELINES],
        timelines_left_out=max(0, len(lines) - _MOST_TIMELINES),
        videos=_ordered(metrics["per_video"]),
        labels=_ordered(metrics["per_class"]),
        most_rows=_MOST_ROWS,
        confusion=_heat(**metrics["confusion_matrix"]),
        confused=worst_pairs(**metrics["confusion_matrix"]),
    )


def environment() -> Environment:
    """Jinja with the templates of this folder and their filters."""
    made = Environment(
        loader=PackageLoader("kfdet.evaluation.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=_number, percent=_percent, thousands=_thousands, count=_count, date=_date
    )
    return made


def read_samples(records: Records) -> list[Shot]:
    """The sample pictures that were written with the records.

    Raises:
        InputError: They are damaged or missing.
    """
    samples = records.description.get("samples") or []
    if not samples:
        return []
    path, names = records.folder / SAMPLES_FILE, {sample["file"] for sample in samples}
    pictures = read_members(path, names, _MOST_SAMPLE_BYTES)
    if missing := names - pictures.keys():
        hint = "Build the records again."
        raise InputError(f"{min(missing)} is not in it.", file=path, hint=hint)
    return [
        Shot(
            name=sample["file"],
            jpeg=pictures[sample["file"]],
            video=sample["video"],
            frame=sample["frame"],
            caption=f"{_SPLIT_NAMES[sample['split']]}, {_KIND_NAMES[sample['kind']]}",
        )
        for sample in samples
    ]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"


def _thousands(value: int) -> str:
    """Digits in groups of three with thin, unbreakable spaces."""
    return f"{value:,}".replace(",", "\u202f")


def _count(value: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 frame", "2 frames"."""
    return f"{_thousands(value)} {noun if value == 1 else plural or noun + 's'}"


def _date(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _val_kinds(statistics: Mapping[str, Any]) -> dict[str, int]:
    """How many videos and images are kept for evaluation."""
    kept = [source["kind"] for source in statistics["sources"] if source["val"]]
    return {kind: kept.count(kind) for kind in ("video", "image")}


def _ordered(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of videos or labels in their order; where they are many, by rising AP50."""
    names = list(measured)
    if len(names) > _MOST_ROWS:
        ap50 = {name: values["AP50"] for name, values in measured.items()}
        names.sort(key=lambda name: (ap50[name] is None, ap50[name]))
    return names


def _heat(labels: Sequence[str], matrix: npt.ArrayLike) -> list[list[tuple[int, int]]]:
    """Each cell with its share of the label's objects, in whole percent; nothing of many labels.

    Background has no objects: in its row the shares are those of the column.
    """
    if len(labels) - 1 > LARGEST:
        return []
    counts = np.array(matrix)
    objects = counts.diagonal() + counts[:, -1]
    totals = np.repeat(objects[:, None], len(counts), axis=1)
    totals[-1] = counts.sum(axis=0)
    shares = np.round(100 * counts / np.maximum(totals, 1)).astype(int)
    return [
        list(zip(cells, row, strict=True))
        for cells, row in zip(counts.tolist(), shares.tolist(), strict=True)
    ]
