"""Does the gate promote what is better, and nothing that is worse?

    python -m benchmarks.gate RUN --dense FOLDER

Copies of a run's model get damaged weights (Gaussian noise) or damaged answers, as spoilt labels
teach them: boxes that are moved, objects that are left out or invented. Each damage comes
in strengths that double. The gate compares each copy with the model, in both directions, and sees
only the boxes that a person drew on the run's evaluation frames. Which of the two is really better
is judged by the true boxes of every frame (FOLDER/groundtruth_mot.txt): a copy whose AP50 is lower
there by at least .02 must never take the model's place, and the model must take its.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.label_economy import boxes_by_frame, with_boxes
from benchmarks.table import Row, print_table
from benchmarks.trained import load_trained, newest_training
from kfdet.detection import Detections
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.comparison import Comparison, compare, decide
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.model_run import ModelRun, run_model
from kfdet.local.results import own_records
from kfdet.parameters import Promotion
from kfdet.records.reading import Records
from kfdet.storage.shards import open_records

STRENGTHS = (0.025, 0.05, 0.1, 0.2, 0.4)
"""Of the noise on a weight, as a share of the standard deviation of its variable; of the move of a
box, as a share of its sides; the share of the objects that is left out, or invented."""

SEEDS = (0, 1)
REALLY_WORSE = 0.02
"""How much lower AP50 is against the true boxes."""

LEAST_PROMOTED = 0.9
"""Part of the really better models: 18 of 20."""

RULES: tuple[Promotion, ...] = ("better", "not-worse")


@dataclass(frozen=True)
class _Judged:
    """What one model's answers are worth.

    Args:
        name: The damage.
        drawn: On the boxes that a person drew, as the gate sees them.
        true: AP50 against the true boxes of every frame.
    """

    name: str
    drawn: Measurement
    true: float


def main() -> None:
    """Print AP50 of each copy, and how many were promoted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--dense", type=Path, required=True, help="folder with groundtruth_mot.txt")
    given = parser.parse_args()
    started = time.perf_counter()
    print_table(measure_gate(given.run, given.dense))
    print(f"{time.perf_counter() - started:.0f} s")


def measure_gate(run: Path, dense: Path) -> list[Row]:
    """Return how many really better models were promoted, and how many really worse ones."""
    records = open_records(own_records(run))
    statistics = records.description
    labels, rates = statistics["labels"], frame_rates(statistics)
    true_boxes = boxes_by_frame(dense)

    def judged(name: str, answers: ModelRun) -> _Judged:
        truths = [
            with_boxes(truth, true_boxes.get(truth.frame, []))
            if truth.kind != "crop"
            else replace(truth, measured=False)
            for truth in answers.truths
        ]
        true, _ = evaluate_coco(truths, answers.detections, labels)
        drawn = measure(answers.truths, answers.detections, labels, rates)
        return _Judged(name, drawn, true.ap50 or 0.0)

    answered = _answers(newest_training(run), records)
    model = judged(*next(answered))
    counts = {(rule, way): 0 for rule in RULES for way in ("worse", "better")}
    worse = 0
    for copy in (judged(*each) for each in answered):
        really_worse = model.true - copy.true >= REALLY_WORSE
        worse += really_worse
        line = f"{copy.name:<22} AP50 {copy.true:.3f} ({copy.true - model.true:+.3f})"
        found = compare(model.drawn, copy.drawn, labels, labels, labels, against="", seed=0)
        for way, comparison in (("worse", _reversed(found)), ("better", found)):
            for rule in RULES:
                promoted = decide(rule, comparison)[0]
                counts[rule, way] += promoted and really_worse
                line += f", {rule if promoted else '-'}" if way == "better" else ""
            line += f" {found.interval}" if way == "better" else ""
        print(line if really_worse else f"{line} (not counted)", flush=True)
    rows = []
    for rule in RULES:
        bad, good = counts[rule, "worse"], counts[rule, "better"]
        rows.append(Row(f"worse, {rule}: promoted", bad, 0, f"of {worse}", 1 - bad, 1))
        share = good / max(1, worse)
        rows.append(Row(f"better, {rule}: promoted", good, 0, f"of {worse}", share, LEAST_PROMOTED))
    return rows


def _reversed(comparison: Comparison) -> Comparison:
    """Return the comparison of the other model with this one, on the same draws."""
    assert comparison.interval
    low, high = comparison.interval
    return replace(comparison, interval=(-high, -low))


def _answers(folder: Path, records: Records) -> Iterator[tuple[str, ModelRun]]:
    """What the trained model in `folder` finds, and then what its damaged copies find."""
    side = records.measured_side
    detector, weights = load_trained(folder, records.labels)
    model = run_model(records, detector, side, timed=False)
    yield "the model", model
    originals = [variable.numpy() for variable in weights]
    changes = {"moved": _move, "left out": _leave_out, "invented": _invent}
    for seed in SEEDS:
        for strength in STRENGTHS:
            for name, change in changes.items():
                changed = change(strength, np.random.default_rng(seed))
                yield f"{name} {strength:.1%}", _changed(model, changed)
            random = np.random.default_rng(seed)
            for variable, value in zip(weights, originals, strict=True):
                noise = strength * value.std() * random.standard_normal(value.shape)
                variable.assign(value + noise)
            yield f"weights {strength:.1%}", run_model(records, detector, side, timed=False)


def _changed(run: ModelRun, change: Callable[[Detections], Detections]) -> ModelRun:
    return replace(run, detections=[change(found) for found in run.detections])


def _move(spread: float, random: np.random.Generator) -> Callable[[Detections], Detections]:
    """Move each box."""

    def change(found: Detections) -> Detections:
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        moves = spread * sides * random.standard_normal(sides.shape)
        return replace(found, boxes=found.boxes + np.tile(moves, 2))

    return change


def _leave_out(share: float, random: np.random.Generator) -> Callable[[Detections], Detections]:
    """Leave detections out."""
    return lambda found: found.where(random.random(len(found)) >= share)


def _invent(share: float, random: np.random.Generator) -> Callable[[Detections], Detections]:
    """Add copies of detections, with their scores, at other places of the picture."""

    def change(found: Detections) -> Detections:
        more = found.where(random.random(len(found)) < share)
        sides = more.boxes[:, 2:] - more.boxes[:, :2]
        corners = random.random(sides.shape) * np.maximum(np.array(found.size) - sides, 0)
        return replace(
            found,
            boxes=np.vstack([found.boxes, np.hstack([corners, corners + sides])]),
            labels=(*found.labels, *more.labels),
            scores=np.concatenate([found.scores, more.scores]),
        )

    return change


if __name__ == "__main__":
    main()
