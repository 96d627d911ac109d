"""Two models, measured on the same records and compared."""

from __future__ import annotations

from kfdet.detection import Detector
from kfdet.evaluation.comparison import Comparison, compare
from kfdet.evaluation.ground_truth import frame_rates
from kfdet.evaluation.measurement import Measurement, measure
from kfdet.evaluation.model_run import run_model
from kfdet.records.reading import Records


def compare_models(
    records: Records, new: Detector, old: Detector, *, against: str, seed: int
) -> Comparison:
    """Compare two models on the side of the records that evaluation reports.

    Args:
        records: The records.
        new: The model.
        old: The other one.
        against: What to call the other one.
        seed: Seed of the bootstrap.

    Raises:
        InputError: They have no label in common, or there are no such records.
    """
    statistics = records.description
    side, labels = records.measured_side, statistics["labels"]

    def measured(detector: Detector) -> Measurement:
        run = run_model(records, detector, side, timed=False)
        rates = frame_rates(statistics)
        return measure(run.truths, run.detections, labels, rates, side=side, seed=seed)

    return compare(
        measured(new),
        measured(old),
        labels,
        new.labels,
        old.labels,
        against=against,
        seed=seed,
    )
