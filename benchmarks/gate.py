"""Does the gate promote what is better, and nothing that is damaged?

    python -m benchmarks.gate RUN

Copies of a run's model get damaged weights (Gaussian noise, the stronger the later the copy) or
damaged answers as spoilt labels teach them (boxes that are shifted, objects that are left out, by
turns). Each is compared with the model itself on the run's evaluation frames, in both directions:
a damaged copy must not take the model's place, and the model is the better one beside a copy.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import Row, print_table
from kfdet.detection import Detections
from kfdet.detection.backend import OUTPUTS, Answer
from kfdet.detection.detector import Detector
from kfdet.evaluation.comparison import compare, decide
from kfdet.evaluation.ground_truth import frame_rates, read_dataset, reported_side
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.model_run import ModelRun, run_model
from kfdet.local.results import newest_artifact
from kfdet.parameters import Promotion

COPIES = 10
WEIGHTS = np.linspace(0.14, 0.32, COPIES)
"""Noise on every weight, as shares of the standard deviation of its variable.

With less than an eighth the AP50 of a model on PETS stays the same, within .01: no damage to see.
"""

SHIFTS = np.linspace(0.1, 0.28, COPIES // 2)
"""Spread of a box's move, as shares of its sides."""

LEFT_OUT = np.linspace(0.08, 0.4, COPIES // 2)
"""Share of the detections that are left out."""

RULES: tuple[Promotion, ...] = ("better", "not-worse")


@dataclass
class _Backend:
    """A serving module as a detector runs it."""

    module: Any
    labels: tuple[str, ...]
    place: str = "memory"
    input_size: None = None
    thresholds: None = None

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for encoded pictures."""
        import tensorflow as tf

        found = {k: v.numpy() for k, v in self.module(tf.constant(list(pictures))).items()}
        found["detection_class_names"] = [
            [name.decode() for name in names] for names in found["detection_class_names"]
        ]
        return Answer([{k: found[k][i] for k in OUTPUTS} for i in range(len(pictures))], 0.0)

    def close(self) -> None:
        """Nothing to release."""


def main() -> None:
    """Print AP50 of each copy, and how many were promoted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    started = time.perf_counter()
    rows = measure_gate(run)
    print_table(rows)
    print(f"{time.perf_counter() - started:.0f} s")


def measure_gate(run: Path) -> list[Row]:
    """Compare the damaged copies of a run's model with the model, and the model with each."""
    import tensorflow as tf

    from kfdet.export.module import load_module

    records = newest_artifact(run, "records", "examples.parquet")
    statistics = read_dataset(records)
    side, labels = reported_side(records), statistics["labels"]
    module = load_module(newest_artifact(run, "model", "history.json"))
    detect = tf.function(module.detect_bytes, input_signature=[tf.TensorSpec([None], tf.string)])
    detector = Detector(_Backend(detect, tuple(labels)), threshold=0.0)

    def answers() -> ModelRun:
        return run_model(records, detector, side, timed=False)

    def measured(answered: ModelRun) -> Measurement:
        rates = frame_rates(statistics)
        return measure(answered.truths, answered.detections, labels, rates, side=side)

    model = answers()
    whole = measured(model)
    copies: list[tuple[str, Measurement]] = []
    weights = list(module.model.trainable_variables)
    originals = [variable.numpy() for variable in weights]
    for number, noise in enumerate(WEIGHTS):
        random = np.random.default_rng(number)
        for variable, value in zip(weights, originals, strict=True):
            variable.assign(value + noise * value.std() * random.standard_normal(value.shape))
        copies.append((f"weights +- {noise:.0%}", measured(answers())))
    for number, (shift, left_out) in enumerate(zip(SHIFTS, LEFT_OUT, strict=True)):
        random = np.random.default_rng(number)
        copies.append((f"boxes +- {shift:.0%}", measured(_changed(model, _shift(shift, random)))))
        copies.append(
            (f"without {left_out:.0%}", measured(_changed(model, _drop(left_out, random))))
        )
    promoted = {(rule, way): 0 for rule in RULES for way in ("damaged", "better")}
    known = tuple(labels)
    for name, copy in copies:
        pairs = {"damaged": (copy, whole), "better": (whole, copy)}
        for way, (new, old) in pairs.items():
            found = compare(new, old, labels, known, known, against="the other", seed=0)
            for rule in RULES:
                promoted[rule, way] += decide(rule, found)[0]
        print(f"{name:<18} AP50 {copy.coco.ap50:.3f} (model {whole.coco.ap50:.3f})", found.interval)
    rows = []
    for (rule, way), count in promoted.items():
        if way == "damaged":
            kept_out = len(copies) - count
            rows.append(Row(f"kept out ({rule})", kept_out, 0, "copies", kept_out, len(copies)))
        else:
            rows.append(Row(f"promoted ({rule})", count, 0, "copies", count, len(copies) - 2))
    return rows


def _changed(run: ModelRun, change: Callable[[Detections], Detections]) -> ModelRun:
    return replace(run, detections=[change(found) for found in run.detections])


def _shift(spread: float, random: np.random.Generator) -> Callable[[Detections], Detections]:
    """Move each box."""

    def change(found: Detections) -> Detections:
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        moves = spread * sides * random.standard_normal(sides.shape)
        return replace(found, boxes=found.boxes + np.tile(moves, 2))

    return change


def _drop(share: float, random: np.random.Generator) -> Callable[[Detections], Detections]:
    """Leave detections out."""
    return lambda found: found.where(random.random(len(found)) >= share)


if __name__ == "__main__":
    main()
