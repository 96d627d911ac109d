"""Every form of one model beside its SavedModel: do they find the same objects?

    python -m benchmarks.forms RUN

RUN is a finished run; the pictures are all of the side that it was measured on.

The REST and gRPC APIs of `kfdet serve` and the float32 TFLite file are compared detection by
detection: each one that scores at least the threshold that evaluation recommends, with the nearest
one of the same label on the other side, in both directions. The difference of two boxes is the
largest of their four sides, as a share of the picture: 1e-3 is 0.8 pixels of 768. A missing
detection counts as the distance to the next one.

The TFLite files (float32, float16 and int8) are exported anew from the run's weights. Their AP50
is that of metrics.json, which measures at most 200 pictures; here it is measured on all of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.endpoint import served
from benchmarks.table import Row, print_table
from benchmarks.trained import newest_training
from kfdet.detection.tflite import find_tflite
from kfdet.evaluation.model_run import ModelRun, load_detector, run_model
from kfdet.evaluation.tflite import compare_tflite
from kfdet.local.results import own_records
from kfdet.parameters import ExportSettings
from kfdet.stages.export import export
from kfdet.storage.shards import open_records

SERVED_LIMIT, TFLITE_LIMIT = 1e-3, 2e-3
LOSS_LIMITS = {"float32": 0.005, "float16": 0.005, "int8": 0.02}
INT8_SIZE = 0.35
_LEAST = 1e-7  # of a difference, so that it can be divided by


def measure(run: Path) -> list[Row]:
    """Measure how far the forms of a run's model differ from its SavedModel."""
    folder = own_records(run)
    with tempfile.TemporaryDirectory() as scratch, open_records(folder) as records:
        side, labels = records.measured_side, records.labels
        with load_detector(run / "model", labels) as detector:
            original = run_model(records, detector, side, timed=False)
            threshold = detector.thresholds.overall if detector.thresholds else 0.0
        rows = []
        with served(run / "model") as server:
            for name, connect in (("REST", server.over_rest), ("gRPC", server.over_grpc)):
                with connect() as client:
                    found = run_model(records, client, side, timed=False)
                rows += _differences(name, original, found, threshold, SERVED_LIMIT)
        weights = newest_training(run)
        files = Path(scratch) / "tflite"
        export(weights, folder, Path(scratch) / "model", files, ExportSettings("float16,int8"))
        forms = find_tflite(files)
        with load_detector(forms["float32"], labels) as detector:
            found = run_model(records, detector, side, timed=False)
        rows += _differences("TFLite", original, found, threshold, TFLITE_LIMIT)
        compared = compare_tflite(records, forms, original, labels, most=len(original.truths))
    for precision, limit in LOSS_LIMITS.items():
        form = compared[precision]
        loss = form["AP50_saved_model"] - form["AP50"]
        title = f"TFLite {precision}, {form['pictures']} pictures: AP50 lost"
        rows.append(Row(title, loss, limit, "", limit / max(loss, _LEAST), 1.0))
    size = compared["int8"]["megabytes"] / compared["float32"]["megabytes"]
    title = "TFLite int8: size / that of float32"
    return [*rows, Row(title, size, INT8_SIZE, "", INT8_SIZE / size, 1.0)]


def _differences(
    name: str, original: ModelRun, found: ModelRun, threshold: float, limit: float
) -> list[Row]:
    """The largest difference in boxes and in scores."""
    pairs = [_largest(original, found, threshold), _largest(found, original, threshold)]
    boxes, scores = np.max(pairs, axis=0).tolist()
    return [
        Row(f"{name} / SavedModel: {what}", most, limit, unit, limit / max(most, _LEAST), 1.0)
        for what, most, unit in (("boxes", boxes, "of the picture"), ("scores", scores, ""))
    ]


def _largest(one: ModelRun, other: ModelRun, threshold: float) -> tuple[float, float]:
    """How far the detections of `one` are from the nearest of `other`, and their scores."""
    boxes = scores = 0.0
    for truth, mine, theirs in zip(one.truths, one.detections, other.detections, strict=True):
        xmin, ymin, xmax, ymax = truth.window
        size = np.tile([xmax - xmin, ymax - ymin], 2)
        their_labels = np.array(theirs.labels)
        sure = mine.above(threshold)
        for label, box, score in zip(sure.labels, sure.boxes, sure.scores, strict=True):
            apart = np.abs((theirs.boxes - box) / size).max(axis=1)
            apart[their_labels != label] = 1.0
            nearest = apart.argmin() if len(apart) else None
            boxes = max(boxes, 1.0 if nearest is None else apart[nearest])
            scores = max(scores, 1.0 if nearest is None else abs(theirs.scores[nearest] - score))
    return boxes, scores


def main() -> None:
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    print_table(measure(parser.parse_args().run))


if __name__ == "__main__":
    main()
