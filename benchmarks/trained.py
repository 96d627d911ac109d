"""A training's best weights as a detector, without an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfdet.detection.backend import OUTPUTS, Answer
from kfdet.detection.detector import Detector


@dataclass
class _Backend:
    """A serving module as a detector runs it."""

    module: Any
    labels: tuple[str, ...]
    place: str = "memory"
    input_size: None = None
    thresholds: None = None
    in_flight: int = 1

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


def newest_training(run: Path) -> Path:
    """The folder of the weights that were trained last for a run."""
    from kfdet.local.folder import ARTIFACTS
    from kfdet.training.history import HISTORY_FILE

    found = (path.parent for path in (run / ARTIFACTS).rglob(f"model/{HISTORY_FILE}"))
    return max(found, key=lambda folder: folder.stat().st_mtime)


def load_trained(folder: Path, labels: Sequence[str]) -> tuple[Detector, list[Any]]:
    """The detector of a training's folder, and the variables that it runs with."""
    import tensorflow as tf

    from kfdet.export.module import load_module

    module = load_module(folder)
    detect = tf.function(module.detect_bytes, input_signature=[tf.TensorSpec([None], tf.string)])
    detector = Detector(_Backend(detect, tuple(labels)), threshold=0.0)
    return detector, list(module.model.trainable_variables)
