"""metrics.json: everything that was measured, in one document of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kfdet.evaluation.comparison import Comparison
from kfdet.evaluation.error_analysis import ERROR_KINDS, Curve
from kfdet.evaluation.measurement import Measurement
from kfdet.evaluation.speed import Speed
from kfdet.evaluation.verdict import Verdict
from kfdet.parameters import Gate

BACKGROUND = "background"


def describe(
    labels: Sequence[str],
    split: Mapping[str, Any],
    measurement: Measurement,
    speed: Speed | None,
    evaluator_seconds: float,
    gate: Gate,
    verdict: Verdict,
    per_video: Mapping[str, Any],
    comparison: Comparison | None = None,
    tflite: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The contents of metrics.json; None where there is nothing to measure.

    `AP` to `AR100` are COCO's. `per_class` holds for each label its AP and AP50, and precision and
    recall at the label's own best `threshold`. `truth` says what was measured on
    (`kfdet.evaluation.truth.Truth`). `threshold`, `precision`, `recall`, `errors`,
    `objects_by_size`, `missed_by_size`, `confusion_matrix` (one row per true label, one column per
    predicted one, background last; see `ErrorAnalysis`) and `false_positives_per_background_image`
    hold at the one threshold that is best over all labels. `labels_to_check` are interpolated boxes
    that a detection contradicts (`kfdet.evaluation.label_checks.LabelCheck`). `per_video` has
    AP50 and errors for each video, at that threshold, too. `comparison` is with another model, None
    where there is none (`kfdet.evaluation.comparison.Comparison`). `tflite` is about the TFLite
    models, None where there are none (`kfdet.evaluation.tflite.compare_tflite`). `verdict` asks for
    `reaches_limits` and, where `promote` does, for a good comparison. `speed`, which is None where
    detections were read from a file, and the times in `tflite` vary from run to run; the rest does
    not vary.
    """
    coco, analysis = measurement.coco, measurement.analysis
    kinds = [wrong.kind for wrong in analysis.false_positives]
    return {
        "AP": coco.ap,
        "AP50": coco.ap50,
        "AP75": coco.ap75,
        "AP_small": coco.ap_small,
        "AP_medium": coco.ap_medium,
        "AP_large": coco.ap_large,
        "AR100": coco.ar100,
        "per_class": {
            label: {
                "AP": coco.per_class[label].ap,
                "AP50": coco.per_class[label].ap50,
                **_at_best(analysis.per_class[label]),
                "boxes": coco.per_class[label].boxes,
            }
            for label in labels
        },
        "split": dict(split),
        "truth": asdict(measurement.truth),
        "threshold": analysis.threshold,
        "precision": analysis.precision,
        "recall": analysis.recall,
        "false_positives_per_background_image": analysis.false_positives_per_background_image,
        "background_images": analysis.background_images,
        "errors": {
            **{kind: kinds.count(kind) for kind in ERROR_KINDS},
            "missed": len(analysis.misses),
        },
        "labels_to_check": [check.describe() for check in measurement.labels_to_check],
        "objects_by_size": analysis.objects,
        "missed_by_size": analysis.missed,
        "confusion_matrix": {
            "labels": [*labels, BACKGROUND],
            "matrix": analysis.confusion.tolist(),
        },
        "per_video": dict(per_video),
        "speed": {**asdict(speed), "evaluator_seconds": evaluator_seconds} if speed else None,
        "comparison": asdict(comparison) if comparison else None,
        "tflite": dict(tflite) if tflite else None,
        "gate": asdict(gate),
        "verdict": verdict.good,
        "reaches_limits": verdict.reaches_limits,
        "verdict_reasons": verdict.reasons,
    }


def _at_best(curve: Curve | None) -> dict[str, float | None]:
    """Precision and recall where F1 is highest.

    A label that was never found has recall 0 and no precision; one without boxes has neither.
    """
    if curve is None:
        return {"precision": None, "recall": None, "threshold": None}
    if curve.best is None:
        return {"precision": None, "recall": 0.0, "threshold": None}
    return {
        "precision": float(curve.precision[curve.best]),
        "recall": float(curve.recall[curve.best]),
        "threshold": curve.threshold,
    }
